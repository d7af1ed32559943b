// How the subcommands of `lathe lut` tell the error band of a table.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "latency/lut.h"

namespace lathe::cli {

// "12 networks: mean error 2.7 %, ..."
std::string BandText(const latency::ErrorBand& band);
nlohmann::ordered_json JsonOf(const latency::ErrorBand& band);

}  // namespace lathe::cli
