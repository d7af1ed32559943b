// A picture of a check of a LUT (SVG): predicted against measured latency.
#pragma once

#include <string>

#include "latency/builder.h"

namespace lathe::cli {

std::string LutPicture(const latency::CheckResult& result, const std::string& title);

}  // namespace lathe::cli
