// Builds a LUT: covering networks that between them show the wanted layer keys run in place under
// the engine's profiler; the samples become a table (measurements.h), and networks that were held
// back tell how well it predicts.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <vector>

#include "engine/engine.h"
#include "latency/lut.h"

namespace lathe::latency {

struct BuildProgress {
  int networks_done = 0;
  int keys_measured = 0;
  int keys_wanted = 0;  // seen so far in the candidates offered
  double seconds = 0;   // of measuring, those of earlier sessions included
  double seconds_budget = 0;
};

// Both ends included.
struct Interval {
  double low = 0, high = 0;
};

struct BuildOptions {
  double seconds = 60;  // time budget; finishes earlier when every wanted key has `samples_per_key`
  int samples_per_key = 3;
  int check_networks = 12;  // held out, timed end to end for the error band (inside the budget)
  uint64_t seed = 1;
  std::vector<net::Network> also;      // measured first, such as baselines outside the space
  std::optional<Interval> between_us;  // networks of this latency matter most
  std::filesystem::path file;  // written when done; meanwhile FILE.log (journal.h) grows, from
                               // which a later call continues; empty: memory only
  std::function<void(const BuildProgress&)>
      on_progress;  // may throw to stop; what was measured is kept
};

// `draw` gives a random network of the space in play each time it is called (seeded by the number
// of the draw). A finished LUT in `file` is extended. Throws kInput when `file` or its log belong
// to another target.
Lut BuildLut(engine::Engine& engine, const std::function<net::Network(uint64_t draw)>& draw,
             const BuildOptions& options);

// Predicted against measured end to end over the given networks, as fast as the machine is now. The
// LUT's reference network is timed in between.
struct CheckRow {
  std::string name;
  double predicted_us = 0, sigma_us = 0, measured_us = 0;
  int estimated_layers = 0, layers = 0;
};
struct CheckResult {
  std::vector<CheckRow> rows;
  ErrorBand band;
  double slowdown = 1;  // latency of the reference network now / when the LUT was built; 1 for a
                        // LUT without reference
  double least_slowdown = 1, most_slowdown = 1;  // of its single timings, before, between and after
};
struct CheckOptions {
  std::function<void(int done, int of)> on_progress;  // may throw to stop
};
CheckResult CheckLut(engine::Engine& engine, const Lut& lut,
                     const std::vector<net::Network>& networks, const CheckOptions& options = {});

}  // namespace lathe::latency
