// lathe net train, and the data that commands on one network take.
#pragma once

#include <string>

#include "cli/common.h"
#include "data/dataset.h"

namespace lathe::cli {

void AddNetTrainCommand(CLI::App& net_command, const Globals& globals, Action& action);

// --data: "fashion-mnist", a folder of pictures, or a TOML file with the keys of a study's [data].
data::Splits OpenData(const std::string& name, uint64_t seed);
inline constexpr const char* kDataHelp =
    "fashion-mnist, a folder with train/CLASS/ and val/CLASS/, or a TOML file with the keys of "
    "[data]";

}  // namespace lathe::cli
