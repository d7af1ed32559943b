#include "latency/import_parts.h"

#include <algorithm>

#include "base/error.h"
#include "latency/lut.h"

namespace lathe::latency {
namespace {

using net::NodeKind;

}  // namespace

std::optional<double> PartsAlone::Convolution(const Part& part) const {
  if (part.groups == 1 || part.depthwise()) return table_.Predict(part);
  Part group = part;
  group.groups = 1;
  group.in.c /= part.groups;
  std::optional<double> latency_us = table_.Predict(group);
  if (latency_us) *latency_us += Traffic(Values(part.in) - Values(group.in));
  return latency_us;
}

std::optional<double> PartsAlone::Compute(const Part& part) const {
  switch (part.kind) {
    case NodeKind::kPool:
      return table_.shortest_us() + Traffic(Values(part.in));
    case NodeKind::kScale:
      return table_.shortest_us() + Traffic(Values(part.in) + Values(part.out));
    case NodeKind::kLinear: {
      Part pointwise = part;
      pointwise.kind = NodeKind::kConv;
      return Convolution(pointwise);
    }
    default:
      break;
  }
  if (!part.add) return Convolution(part);
  Part plain = part;
  plain.add = false;
  const std::optional<double> fused = Convolution(part);
  std::optional<double> apart = Convolution(plain);
  if (!apart) return fused;
  *apart += Traffic(Values(part.out));
  return fused ? std::min(*fused, *apart) : apart;
}

std::optional<double> PartsAlone::Predict(const Part& part) {
  Part plain = part;
  plain.act = net::Activation::kNone;
  const auto [known, added] = known_.try_emplace(KeyOf(plain));
  if (added) known->second = Compute(plain);
  return known->second;
}

std::vector<double> PartsAlone::Predict(const net::Layer& layer) {
  std::vector<double> latencies;
  for (const Part& part : PartsOf(layer)) {
    const std::optional<double> latency_us = Predict(part);
    if (!latency_us) {
      throw Error(ErrorKind::kInput,
                  "the table has no {} convolutions of kernel {} and stride {}, so the latency of "
                  "'{}' in layer '{}' is unknown",
                  part.depthwise() ? "depthwise" : "regular", part.kernel, part.stride, KeyOf(part),
                  KeyOf(layer));
    }
    latencies.push_back(*latency_us);
  }
  return latencies;
}

}  // namespace lathe::latency
