#include "engine/backends/fake/fake_engine.h"

#include <algorithm>
#include <numeric>
#include <span>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/random.h"
#include "engine/timing.h"
#include "net/network_file.h"
#include "onnx/export.h"

namespace lathe::engine {
namespace {

uint64_t HashFloats(std::span<const float> values) {
  return HashBytes(
      std::string_view(reinterpret_cast<const char*>(values.data()), values.size_bytes()));
}

// Of a processor of 20 GMAC/s and 10 GB/s that takes 2 us to start a layer, keeps what is inside
// it in its caches, and adds the shortcut while it writes the result.
std::vector<double> NodeTimes(const net::Layer& layer) {
  const auto values = [](const net::Shape& s) { return double{1} * s.c * s.h * s.w; };
  const std::vector<net::Node> nodes = net::LowerLayer(layer, 0, 0, net::Node::kImage);
  std::vector<double> times;
  for (const net::Node& node : nodes) {
    const bool weights = node.kind == net::NodeKind::kConv || node.kind == net::NodeKind::kLinear;
    const double kernel = double{1} * node.in.c / node.groups * node.kernel * node.kernel;
    const double macs = weights ? kernel * values(node.out) : 0;
    double floats = weights ? kernel * node.out.c : 0;
    if (node.bias) floats += node.out.c;
    if (node.batch_norm) floats += 2 * node.out.c;
    times.push_back(macs / 20e3 + 4 * floats / 10e3);
  }
  const bool adds = nodes.back().kind == net::NodeKind::kAdd;
  times.front() += 2 + 4 * values(layer.in) / 10e3;
  times[times.size() - (adds ? 2 : 1)] += 4 * values(layer.out()) / 10e3;
  return times;
}

class FakeModel : public CompiledModel {
 public:
  FakeModel(net::Network network, const FakeEngineOptions& options, bool profile)
      : network_(std::move(network)),
        options_(options),
        profile_(profile),
        noise_(SubSeed(options.seed, "fake.noise", HashBytes(net::ToJson(network_)))) {}

  // Logits depend on the image alone, so that a model and its exported file agree.
  std::vector<float> Run(std::span<const float> images, int count) override {
    const net::Shape& in = network_.input;
    const size_t size = static_cast<size_t>(in.c) * static_cast<size_t>(in.h * in.w);
    BatchCount(images, count, size, options_.target.batch);
    std::vector<float> logits;
    for (int i = 0; i < count; ++i) {
      Random random(HashFloats(images.subspan(static_cast<size_t>(i) * size, size)));
      for (int c = 0; c < network_.num_classes(); ++c) {
        logits.push_back(static_cast<float>(random.Normal()));
      }
    }
    return logits;
  }

  Timing Time(const TimingOptions& options) override {
    double exact_us = 0;
    for (const net::Layer& layer : network_.layers) exact_us += FakeLayerLatencyUs(layer);
    return Summarise(Samples(exact_us, options));
  }

  std::vector<LayerTime> Profile(const TimingOptions& options) override {
    CheckProfiling(profile_);
    std::vector<LayerTime> layers;
    for (size_t i = 0; i < network_.layers.size(); ++i) {
      const double exact_us = FakeLayerLatencyUs(network_.layers[i]);
      layers.push_back(SummariseLayer(static_cast<int>(i), Samples(exact_us, options)));
      layers.back().node_us = NodeTimes(network_.layers[i]);
      for (double& us : layers.back().node_us) us *= layers.back().median_us / exact_us;
    }
    return layers;
  }

 private:
  std::vector<double> Samples(double exact_us, const TimingOptions& options) {
    std::vector<double> samples(static_cast<size_t>(std::max(1, options.min_runs)));
    for (double& sample : samples) {
      sample = exact_us * std::max(0.01, 1 + options_.noise * noise_.Normal());
    }
    return samples;
  }

  net::Network network_;
  FakeEngineOptions options_;
  bool profile_;
  Random noise_;
};

class FakeEngine : public Engine {
 public:
  explicit FakeEngine(const FakeEngineOptions& options) : options_(options) {}

  Fingerprint Target() const override {
    return {.engine = "fake",
            .engine_version = "1",
            .device = options_.target.device,
            .device_name = "fake device",
            .options = options_.target};
  }

  std::unique_ptr<CompiledModel> Compile(const net::Network& network, const net::Weights& weights,
                                         const CompileOptions& options) override {
    net::CheckWeights(net::Lower(network), weights);
    return std::make_unique<FakeModel>(network, options_, options.profile);
  }

  std::unique_ptr<CompiledModel> Load(const std::string& onnx_path) override {
    const std::map<std::string, std::string> metadata = onnx::ReadMetadata(onnx_path);
    const auto json = metadata.find("lathe.network");
    if (json == metadata.end()) {
      throw Error(ErrorKind::kInput, "{}: the fake engine reads only files that Lathe exported",
                  onnx_path);
    }
    return std::make_unique<FakeModel>(net::ParseNetwork(json->second, onnx_path), options_, false);
  }

 private:
  FakeEngineOptions options_;
};

}  // namespace

double FakeLayerLatencyUs(const net::Layer& layer) {
  const std::vector<double> nodes = NodeTimes(layer);
  return std::accumulate(nodes.begin(), nodes.end(), 0.0);
}

std::unique_ptr<Engine> MakeFakeEngine(const FakeEngineOptions& options) {
  CheckTargetOptions(options.target);
  return std::make_unique<FakeEngine>(options);
}

}  // namespace lathe::engine
