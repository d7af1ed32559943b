// Everything measured while a LUT is built, and the LUT that explains it best.
//
// The engine's profiler gives the time of each layer and its parts, but may miss what lies between
// them or cost time itself; the wall clock of the whole network is what users get, but it knows no
// layers. And both drift with the machine's speed. Solve() brings them together. One thread.
#pragma once

#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "latency/drift.h"
#include "latency/lut.h"

namespace lathe::latency {

// One covering network, measured in one go. Latencies of 0 stand for what the engine doesn't show.
struct Measurement {
  double seconds = 0;  // when, on the clock of the build
  std::vector<net::Layer> layers;
  std::vector<double> layer_us;              // from the profiler
  std::vector<std::vector<double>> node_us;  // by node of net::LowerLayer; empty where unknown
  double total_us = 0;  // end to end, as deployed (without profiler); 0: not timed
  double spread = 0;    // (p90 - p10) / median of the runs behind total_us
};

// A network that was timed end to end and kept out of the table.
struct HeldOut {
  net::Network network;
  double seconds = 0, latency_us = 0;
};

class Measurements {
 public:
  // `prior`: what earlier sessions measured; its entries count as the samples they stand for.
  explicit Measurements(Lut prior);

  void Add(const Measurement& measurement);
  void Add(const ReferenceTime& time);
  // Fills entries, parts and overhead_us; the rest is the prior's. Deterministic.
  Lut Solve() const;
  // Fills key_band as well: a tenth of the keys measured, chosen by `seed`, is predicted from a
  // table made without any of their samples. It stays the prior's when there are too few keys.
  Lut SolveAndCheckKeys(uint64_t seed) const;

 private:
  template <typename What>
  struct Key {
    std::string text;
    What what;
    int samples = 0;  // in rows_
  };
  // Keys by index, as rows name them.
  template <typename What>
  class Keys {
   public:
    int IndexOf(const What& what);
    std::vector<Key<What>> list;

   private:
    std::unordered_map<std::string, int> index_;
  };
  struct Sample {
    int key;
    double us;
    int layer;  // key of the layer that a part was seen in
  };
  struct Row {
    double seconds, total_us, noise;  // noise: relative standard deviation of total_us
    std::vector<Sample> layers, parts;
  };
  // part = scale * profiled + per_part_us; network = overhead + sum of parts
  struct Calibration {
    double scale = 1, per_part_us = 0, overhead_us = 0;
    // What so many parts take that the profiler shows as `us`.
    double operator()(double us, double parts) const;
  };
  void AddParts(const net::Layer& layer, const std::vector<double>& node_us, Row& row);
  Calibration Calibrate(const std::vector<double>& speed) const;
  std::vector<double> Times() const;
  std::vector<double> Slowness(const Lut& lut, const Calibration& calibration) const;
  std::vector<double> Speeds(const std::vector<double>& slowness) const;
  struct Solution {
    std::vector<double> speed;  // by row
    Calibration calibration;
    Lut lut;
  };
  Solution SolveAll() const;
  std::optional<KeyBand> CheckKeys(const Solution& solution, uint64_t seed) const;
  // Without the samples of the layer keys `left_out` (by index; empty: none is).
  Lut Tabulate(const std::vector<double>& speed, const Calibration& calibration,
               const std::vector<bool>& left_out = {}) const;

  Lut prior_;
  Keys<net::Layer> layers_;
  Keys<Part> parts_;
  std::vector<double> parts_in_;  // number of parts of each layer key
  std::vector<Row> rows_;
  std::vector<ReferenceTime> reference_;
};

}  // namespace lathe::latency
