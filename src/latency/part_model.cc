#include "latency/part_model.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "latency/work_costs.h"

namespace lathe::latency {
namespace {

constexpr size_t kFewForRegression = 8;  // below, the first guess alone is the model
constexpr double kGuessSigma = 0.3;  // relative error of the first guess, where nothing is known

bool Costly(net::Activation act) {
  return act != net::Activation::kNone && act != net::Activation::kRelu &&
         act != net::Activation::kRelu6;
}

// What the time of a part is made of: latency is about a non-negative combination of these.
Eigen::VectorXd Terms(const Part& part) {
  const double in = Values(part.in);
  const double out = Values(part.out);
  Eigen::VectorXd terms(6);
  terms << 1, Macs(part), Weights(part), in, out * (part.add ? 2 : 1), Costly(part.act) ? out : 0;
  return terms;
}

// Shapes and work as logarithms, what tiles leave unused, one-hot activations. Always the same
// length.
Eigen::VectorXd Features(const Part& part) {
  constexpr int kActivations = static_cast<int>(net::Activation::kHardSigmoid) + 1;
  const int pixels = part.out.h * part.out.w;
  const double values = Values(part.in) + Values(part.out) * (part.add ? 2 : 1);
  std::vector<double> f = {
      std::log(part.in.c),   std::log(part.out.c),     std::log(pixels),
      std::log(part.kernel), std::log(part.stride),    std::log(part.groups),
      part.add ? 1.0 : 0.0,  std::log(Macs(part) + 1), std::log(Weights(part) + 1),
      std::log(values),      Waste(part.in.c, 16),     Waste(part.out.c, 16),
      Waste(part.out.c, 64), Waste(part.out.w, 8),     Waste(pixels, 16)};
  const size_t first_activation = f.size();
  f.resize(first_activation + kActivations, 0.0);
  f[first_activation + static_cast<size_t>(part.act)] = 1;
  return Eigen::Map<const Eigen::VectorXd>(f.data(), static_cast<Eigen::Index>(f.size()));
}

}  // namespace

PartGroup GroupOf(const Part& part) {
  switch (part.kind) {
    case net::NodeKind::kPool:
      return PartGroup::kPool;
    case net::NodeKind::kScale:
      return PartGroup::kScale;
    case net::NodeKind::kLinear:
      return PartGroup::kLinear;
    case net::NodeKind::kConv:
    case net::NodeKind::kAdd:
      break;
  }
  if (part.in.h == 1 && part.in.w == 1) return PartGroup::kGate;
  if (part.depthwise()) return PartGroup::kDepthwise;
  if (part.groups > 1) return PartGroup::kGrouped;
  return part.kernel == 1 ? PartGroup::kPointwise : PartGroup::kSpatial;
}

struct PartModel::Group {
  explicit Group(const std::vector<PartEntry>& entries) {
    const auto count = static_cast<Eigen::Index>(entries.size());
    Eigen::MatrixXd terms(count, Terms(entries[0].part).size());
    Eigen::VectorXd latency(count);
    for (Eigen::Index i = 0; i < count; ++i) {
      terms.row(i) = Terms(entries[static_cast<size_t>(i)].part);
      latency[i] = entries[static_cast<size_t>(i)].latency_us;
    }
    costs = FitWorkCosts(terms, latency);
    if (entries.size() < kFewForRegression) return;

    Eigen::MatrixXd features(count, Features(entries[0].part).size());
    Eigen::VectorXd targets(count), noise(count);
    for (Eigen::Index i = 0; i < count; ++i) {
      const PartEntry& entry = entries[static_cast<size_t>(i)];
      features.row(i) = Features(entry.part);
      targets[i] = std::log(entry.latency_us / FirstGuess(entry.part));
      noise[i] = 1.0 / std::max(entry.samples, 1);
    }
    regression.emplace(features, targets, noise / noise.mean());
  }

  double FirstGuess(const Part& part) const {
    constexpr double kLeastUs = 1e-3;
    return std::max(costs.dot(Terms(part)), kLeastUs);
  }

  Eigen::VectorXd costs;
  std::optional<Regression> regression;  // of log(latency / first guess)
};

PartModel::PartModel(const std::map<PartKey, PartEntry>& entries) {
  for (const auto& [key, entry] : entries) {
    entries_[static_cast<size_t>(GroupOf(entry.part))].push_back(entry);
  }
  // Grouped convolutions are rare: where none was measured, the other convolutions tell something.
  auto& grouped = entries_[static_cast<size_t>(PartGroup::kGrouped)];
  if (!grouped.empty()) return;
  for (const PartGroup other : {PartGroup::kSpatial, PartGroup::kPointwise}) {
    const auto& entries_of_other = entries_[static_cast<size_t>(other)];
    grouped.insert(grouped.end(), entries_of_other.begin(), entries_of_other.end());
  }
}

bool PartModel::Covers(const Part& part) const {
  return !entries_[static_cast<size_t>(GroupOf(part))].empty();
}

const PartModel::Group& PartModel::Fitted(PartGroup group) const {
  const auto index = static_cast<size_t>(group);
  std::call_once(once_[index],
                 [&] { groups_[index] = std::make_shared<const Group>(entries_[index]); });
  return *groups_[index];
}

PartModel::Prediction PartModel::Predict(const Part& part) const {
  const Group& group = Fitted(GroupOf(part));
  const double guess = group.FirstGuess(part);
  if (!group.regression) return {.latency_us = guess, .sigma = kGuessSigma};
  const Regression::Prediction rest = group.regression->Predict(Features(part));
  return {.latency_us = guess * std::exp(rest.mean), .sigma = rest.sigma};
}

}  // namespace lathe::latency
