// An engine without hardware: latency is a fixed function of each layer's MACs and bytes with
// seeded noise, Run() returns deterministic logits. For tests of what stands on Engine.
#pragma once

#include <cstdint>
#include <memory>

#include "engine/engine.h"

namespace lathe::engine {

struct FakeEngineOptions {
  TargetOptions target;
  double noise = 0.0;  // relative standard deviation of one timing
  uint64_t seed = 1;
};
std::unique_ptr<Engine> MakeFakeEngine(const FakeEngineOptions& options);
// The noise-free latency the fake engine gives a layer.
double FakeLayerLatencyUs(const net::Layer& layer);

}  // namespace lathe::engine
