// Why layers are timed in place: the latency of random networks predicted from layers that were
// each timed alone, from a LUT (layers timed in place inside other networks), and measured.
//   alone_bench SPACE.toml LUT.json COUNT [SEED]
#include <fmt/format.h>

#include <cmath>
#include <cstdlib>
#include <map>
#include <span>
#include <vector>

#include "base/random.h"
#include "engine/backends/openvino/openvino_engine.h"
#include "latency/drift.h"
#include "latency/estimator.h"
#include "latency/stats.h"
#include "space/search_space.h"

using namespace lathe;

namespace {

// A network of the layer and the smallest tail there is.
double AloneUs(engine::Engine& engine, const net::Layer& layer) {
  net::Network network{.name = "alone", .input = layer.in, .layers = {layer}};
  if (layer.op != net::Op::kTail) {
    network.layers.push_back(
        {.op = net::Op::kTail, .in = layer.out(), .out_channels = 2, .mid_channels = 8});
  }
  const auto model = latency::CompileForTiming(engine, network, true);
  const auto times = model->Profile({.warmup = 5, .min_runs = 15, .min_seconds = 0.03});
  return times.front().median_us;
}

void Report(const char* name, std::span<const double> predicted, std::span<const double> measured) {
  const latency::ErrorBand band = latency::Compare(predicted, measured);
  double worst = 0;
  for (size_t i = 0; i < measured.size(); ++i) {
    const double error = predicted[i] / measured[i] - 1;
    if (std::abs(error) > std::abs(worst)) worst = error;
  }
  fmt::print(
      "{:<10} mean error {:5.1f} %  p95 {:5.1f} %  bias {:+5.1f} %  worst {:+5.1f} %  Spearman "
      "{:.4f}\n",
      name, 100 * band.mape, 100 * band.p95, 100 * band.bias, 100 * worst, band.spearman);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    fmt::print(stderr, "usage: alone_bench SPACE.toml LUT.json COUNT [SEED]\n");
    return 2;
  }
  const auto space = space::SearchSpace::Load(argv[1]);
  const latency::Lut lut = latency::ReadLut(argv[2]);
  const latency::Estimator estimator(lut);
  const auto engine = engine::MakeOpenVinoEngine({});
  latency::CheckTarget(lut, engine->Target(), argv[2]);
  const uint64_t seed = argc > 4 ? std::strtoull(argv[4], nullptr, 10) : 1;
  std::map<latency::LayerKey, double> alone_us;
  std::vector<double> alone, in_place, measured;
  for (int i = 0; i < std::atoi(argv[3]); ++i) {
    Random random(SubSeed(seed, "alone", static_cast<uint64_t>(i)));
    const net::Network network =
        space.Decode(space.Sample(random), {.channels = 3, .classes = 1000});
    const auto model = latency::CompileForTiming(*engine, network, false);
    measured.push_back(latency::UndisturbedUs(model->Time(latency::EndToEndTiming())));
    in_place.push_back(estimator.Network(network).latency_us);
    double sum = 0;
    for (const net::Layer& layer : network.layers) {
      const auto [found, fresh] = alone_us.try_emplace(latency::KeyOf(layer));
      if (fresh) found->second = AloneUs(*engine, layer);
      sum += found->second;
    }
    alone.push_back(sum);
    fmt::print(stderr, "{} of {}\n", i + 1, argv[3]);
  }
  Report("alone", alone, measured);
  Report("in place", in_place, measured);
}
