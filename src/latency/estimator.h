// Latency of any layer or network. What was measured of a layer is weighed with what its parts
// would take, each by its uncertainty; a layer that was never measured is the sum of its parts, and
// those are measured or modelled (part_model.h). Where the LUT lacks the parts for that, a
// regression over whole layers of the same operation steps in. Thread-safe.
#pragma once

#include <memory>
#include <vector>

#include "latency/lut.h"

namespace lathe::latency {

struct Estimate {
  double latency_us = 0;
  double sigma_us = 0;  // standard deviation
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
  // Copies what it needs. Throws kInput when the LUT is empty.
  explicit Estimator(const Lut& lut);
  ~Estimator();
  // Whether there is something to estimate every layer from; the others throw kInput.
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
