#include "latency/price_space.h"

#include <atomic>
#include <utility>

#include "base/error.h"

namespace lathe::latency {

PricedSpace PriceSpace(const space::SearchSpace& space, const Estimator& estimator,
                       const PriceOptions& options) {
  std::atomic<int64_t> estimated = 0, unknown = 0;
  std::atomic<const char*> unknown_op = nullptr;
  const auto price = [&](const net::Layer& layer) {
    if (!estimator.Covers(layer)) {
      ++unknown;
      unknown_op = net::Name(layer.op).data();
      return 0.0;
    }
    const Estimate estimate = estimator.Layer(layer);
    if (!estimate.measured) ++estimated;
    return estimate.latency_us;
  };
  PricedSpace priced{.tables = space::CostTables(space, price,
                                                 {.head = options.head,
                                                  .overhead_us = estimator.overhead_us(),
                                                  .params_and_macs = options.params_and_macs,
                                                  .threads = options.threads})};
  priced.layers = priced.tables.layers_priced();
  priced.estimated = estimated;
  const auto how_to_fill = [&] {
    return fmt::format("fill it with `lathe lut build --space {} --out {}`", options.space_name,
                       options.lut_name);
  };
  if (unknown > 0) {
    throw Error(
        ErrorKind::kInput,
        "{} lacks {} of the {} layers of space '{}', and no '{}' layer was ever measured to "
        "estimate them from; {}",
        options.lut_name, unknown + estimated, priced.layers, space.name(), unknown_op.load(),
        how_to_fill());
  }
  if (options.measured_only && estimated > 0) {
    throw Error(ErrorKind::kInput,
                "{} lacks {} of the {} layers of space '{}'; {}, or leave out --measured-only to "
                "have them estimated",
                options.lut_name, priced.estimated, priced.layers, space.name(), how_to_fill());
  }
  return priced;
}

}  // namespace lathe::latency
