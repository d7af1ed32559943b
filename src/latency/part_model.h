// Latency of parts that were never measured, learned from those that were: per group of parts a
// non-negative combination of their work (the first guess, which extrapolates) and a Gaussian
// process on the logarithm of what remains. Thread-safe; a group is fitted when it is first asked
// for.
#pragma once

#include <array>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "latency/lut.h"
#include "latency/regression.h"

namespace lathe::latency {

// Parts that engines run with the same kind of code.
enum class PartGroup { kSpatial, kPointwise, kDepthwise, kGrouped, kGate, kPool, kScale, kLinear };
constexpr size_t kPartGroups = 8;
PartGroup GroupOf(const Part& part);

class PartModel {
 public:
  struct Prediction {
    double latency_us = 0;
    double sigma = 0;  // relative standard deviation
  };

  // Keeps what it needs of `entries`.
  explicit PartModel(const std::map<PartKey, PartEntry>& entries);
  // Whether there is anything of the part's kind to learn from.
  bool Covers(const Part& part) const;
  Prediction Predict(const Part& part) const;

 private:
  struct Group;
  const Group& Fitted(PartGroup group) const;

  std::array<std::vector<PartEntry>, kPartGroups> entries_;
  mutable std::array<std::once_flag, kPartGroups> once_;
  mutable std::array<std::shared_ptr<const Group>, kPartGroups> groups_;
};

}  // namespace lathe::latency
