// lathe net export and lathe net verify: the files that are deployed.
#pragma once

#include "cli/common.h"

namespace lathe::cli {

void AddNetExportCommand(CLI::App& net_command, const Globals& globals, Action& action);
void AddNetVerifyCommand(CLI::App& net_command, const Globals& globals, Action& action);

}  // namespace lathe::cli
