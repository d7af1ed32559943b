// Latency of any layer or network: measured entries where the LUT has them, a regression over
// physical features (MACs, bytes moved, widths) learned on the measured ones elsewhere. Immutable
// after construction; thread-safe.
#pragma once

#include <memory>
#include <vector>

#include "latency/lut.h"

namespace lathe::latency {

struct Estimate {
  double latency_us = 0;
  double sigma_us = 0;  // standard deviation: of the measurement, or of the model where estimated
  bool measured = false;
};

struct NetworkEstimate {
  double latency_us = 0;
  double sigma_us = 0;
  int estimated_layers = 0;      // how many keys were not in the LUT
  std::vector<Estimate> layers;  // one per layer
};

class Estimator {
 public:
  // Needs at least one measured entry per kind of operation it will be asked for; throws kInput
  // otherwise.
  explicit Estimator(const Lut& lut);
  ~Estimator();
  // Whether every operation of the network has a measured entry.
  bool Covers(const net::Network& network) const;
  bool Covers(const net::Layer& layer) const;
  double overhead_us() const;  // per inference, beside the layers
  Estimate Layer(const net::Layer& layer) const;
  NetworkEstimate Network(const net::Network& network) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lathe::latency
