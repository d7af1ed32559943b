// OpenVINO on the CPU. At int8, Compile() makes a quantised model whose ranges are guessed: its
// time is right, its logits are not. For those, Load() a model that was exported with calibrated
// ranges.
#pragma once

#include <memory>

#include "engine/engine.h"

namespace lathe::engine {

// Throws kUnavailable when the device is not there, kInput for options the plugin refuses.
std::unique_ptr<Engine> MakeOpenVinoEngine(const TargetOptions& options);

}  // namespace lathe::engine
