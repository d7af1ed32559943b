// OpenVINO on the CPU.
#pragma once

#include <memory>

#include "engine/engine.h"

namespace lathe::engine {

// Throws kUnavailable when the device is not there, kInput for options the plugin refuses.
std::unique_ptr<Engine> MakeOpenVinoEngine(const TargetOptions& options);

}  // namespace lathe::engine
