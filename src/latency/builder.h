// Builds a LUT: chooses covering networks that between them contain the wanted layer keys, runs
// them in place under the engine's profiler, interleaved with a reference network that takes out
// the machine's drift.
#pragma once

#include <filesystem>
#include <functional>
#include <vector>

#include "engine/engine.h"
#include "latency/lut.h"

namespace lathe::latency {

struct BuildProgress {
  int networks_done = 0;
  int keys_measured = 0;
  int keys_wanted = 0;  // seen so far in the candidates offered
  double seconds = 0;
  double seconds_budget = 0;
};

struct BuildOptions {
  double seconds = 60;  // time budget; finishes earlier when every wanted key has `samples_per_key`
  int samples_per_key = 3;
  int check_networks = 12;  // held out, timed end to end for the error band (inside the budget)
  uint64_t seed = 1;
  std::filesystem::path file;  // saved as it grows and resumed from; empty: memory only
  std::function<void(const BuildProgress&)>
      on_progress;  // may throw to stop; what was measured is saved
};

// `draw` gives a random network of the space in play each time it is called (seeded by the number
// of the draw). Throws kInput when `file` holds a LUT for another target.
Lut BuildLut(engine::Engine& engine, const std::function<net::Network(uint64_t draw)>& draw,
             const BuildOptions& options);

// Predicted against measured end to end over the given networks. The LUT's reference network is
// timed in between, and `measured_us` is at the speed the machine had when the LUT was built;
// multiply by `slowdown` for today's latency.
struct CheckRow {
  std::string name;
  double predicted_us = 0, measured_us = 0;
};
struct CheckResult {
  std::vector<CheckRow> rows;
  ErrorBand band;
  double slowdown = 1;  // latency of the reference network now / when the LUT was built; 1 for a
                        // LUT without reference
};
CheckResult CheckLut(engine::Engine& engine, const Lut& lut,
                     const std::vector<net::Network>& networks);

}  // namespace lathe::latency
