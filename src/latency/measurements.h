// Everything measured while a LUT is built, and the LUT that explains it best.
//
// The engine's profiler gives each layer's time but may miss what lies between layers or cost time
// itself; the wall clock of the whole network is what users get, but it knows no layers. Solve()
// brings both together. One thread.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "latency/drift.h"
#include "latency/lut.h"

namespace lathe::latency {

// One covering network, measured in one go.
struct Measurement {
  double seconds = 0;   // when, on the Drift's clock
  double total_us = 0;  // end to end, as deployed (without profiler)
  double spread = 0;    // (p90 - p10) / median of the runs behind total_us
  std::vector<net::Layer> layers;
  std::vector<double> layer_us;  // from the profiler; NaN for layers it does not show
};

class Measurements {
 public:
  // `prior`: what earlier sessions measured; its entries count as the samples they stand for.
  explicit Measurements(Lut prior);

  void Add(const Measurement& measurement);
  // Fills entries, overhead_us, noise_floor; the rest is the prior's. Deterministic.
  Lut Solve(const Drift& drift) const;

 private:
  struct Key {
    LayerKey text;
    net::Layer layer;
    double nodes = 0;
    int samples = 0;  // in rows_
  };
  struct Row {
    double seconds, total_us, noise;             // noise: relative standard deviation of total_us
    std::vector<std::pair<int, double>> layers;  // key, us
  };
  // layer = scale * profiled + per_node * nodes; network = overhead + sum of layers
  struct Calibration {
    double scale = 1, per_node_us = 0, overhead_us = 0;
  };
  int IndexOf(const net::Layer& layer);
  Calibration Calibrate(const std::vector<double>& speed) const;
  void Reconcile(const std::vector<double>& speed, double overhead_us,
                 std::vector<double>& latency_us) const;

  Lut prior_;
  std::vector<Key> keys_;
  std::unordered_map<LayerKey, int> index_;
  std::vector<Row> rows_;
};

}  // namespace lathe::latency
