// lathe net classify: what an exported network says of pictures.
#pragma once

#include "cli/common.h"

namespace lathe::cli {

void AddNetClassifyCommand(CLI::App& net_command, const Globals& globals, Action& action);

}  // namespace lathe::cli
