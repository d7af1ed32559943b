// The resolved study file: every key with its value, paths absolute, recipes spelled out. It reads
// back as the same study from any folder.
#pragma once

#include <string>

#include "study/config.h"

namespace lathe::study {

std::string ToToml(const StudyConfig& config);

}  // namespace lathe::study
