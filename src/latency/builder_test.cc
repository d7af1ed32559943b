#include "latency/builder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <filesystem>
#include <map>
#include <stdexcept>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/random.h"
#include "base/temp_folder_testing.h"
#include "engine/backends/fake/fake_engine.h"
#include "latency/cover.h"
#include "latency/estimator.h"
#include "latency/journal.h"
#include "latency/stats.h"
#include "latency/tiny_networks_testing.h"
#include "net/graph.h"

namespace lathe::latency {
namespace {

// What real engines do to the fake one's times.
struct Faults {
  double drift_per_second = 0;       // the machine gets slower all the time
  double overhead_us = 0;            // per inference, in no layer
  double profiler_us_per_layer = 0;  // added to the end-to-end time where the profiler is on
  double lost_us_per_node = 0;       // of each layer's profiled time
  double pause_seconds = 0;          // that a timing takes
};

class FaultyModel : public engine::CompiledModel {
 public:
  using Clock = std::chrono::steady_clock;
  FaultyModel(std::unique_ptr<CompiledModel> model, const net::Network& network,
              const Faults& faults, bool profile, Clock::time_point start)
      : model_(std::move(model)),
        network_(network),
        faults_(faults),
        profile_(profile),
        start_(start) {}

  std::vector<float> Run(std::span<const float> images, int count) override {
    return model_->Run(images, count);
  }

  engine::Timing Time(const engine::TimingOptions& options) override {
    Pause();
    engine::Timing timing = model_->Time(options);
    const auto layers = static_cast<double>(network_.layers.size());
    const double extra =
        faults_.overhead_us + (profile_ ? faults_.profiler_us_per_layer * layers : 0);
    for (double* us : {&timing.median_us, &timing.p10_us, &timing.p90_us})
      *us = (*us + extra) * Speed();
    return timing;
  }

  std::vector<engine::LayerTime> Profile(const engine::TimingOptions& options) override {
    Pause();
    std::vector<engine::LayerTime> times = model_->Profile(options);
    for (engine::LayerTime& time : times) {
      const auto nodes = net::LowerLayer(network_.layers[time.layer], 0, 0, net::Node::kImage);
      const auto adds = std::ranges::count(nodes, net::NodeKind::kAdd, &net::Node::kind);
      const double lost = faults_.lost_us_per_node * static_cast<double>(nodes.size() - adds);
      const double share = (time.median_us - lost) / time.median_us * Speed();
      time.median_us *= share;
      for (double& us : time.node_us) us *= share;
    }
    return times;
  }

 private:
  void Pause() const {
    std::this_thread::sleep_for(std::chrono::duration<double>(faults_.pause_seconds));
  }
  double Speed() const {
    return 1 +
           faults_.drift_per_second * std::chrono::duration<double>(Clock::now() - start_).count();
  }

  std::unique_ptr<CompiledModel> model_;
  net::Network network_;
  Faults faults_;
  bool profile_;
  Clock::time_point start_;
};

class FaultyEngine : public engine::Engine {
 public:
  explicit FaultyEngine(const Faults& faults, double noise = 0.02)
      : engine_(engine::MakeFakeEngine({.target = {}, .noise = noise, .seed = 3})),
        faults_(faults) {}

  engine::Fingerprint Target() const override { return engine_->Target(); }
  std::unique_ptr<engine::CompiledModel> Compile(const net::Network& network,
                                                 const net::Weights& weights,
                                                 const engine::CompileOptions& options) override {
    ++compiled;
    auto model = engine_->Compile(network, weights, options);
    return std::make_unique<FaultyModel>(std::move(model), network, faults_, options.profile,
                                         start_);
  }
  std::unique_ptr<engine::CompiledModel> Load(const std::string& path) override {
    return engine_->Load(path);
  }

  int compiled = 0;

 private:
  std::unique_ptr<engine::Engine> engine_;
  Faults faults_;
  FaultyModel::Clock::time_point start_ = FaultyModel::Clock::now();
};

std::vector<net::Network> FreshNetworks(int count) {
  std::vector<net::Network> networks;
  for (int i = 0; i < count; ++i) networks.push_back(TinyNetwork(1'000'000 + i));
  return networks;
}

// Relative errors of the LUT's entries against the fake engine's exact times.
std::vector<double> EntryErrors(const Lut& lut) {
  std::vector<double> errors;
  for (const auto& [key, entry] : lut.entries) {
    errors.push_back(entry.latency_us / engine::FakeLayerLatencyUs(entry.layer) - 1);
  }
  return errors;
}

std::vector<double> Absolute(std::vector<double> values) {
  for (double& value : values) value = std::abs(value);
  return values;
}

class BuildLutTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = std::filesystem::path(testing::TempDir()) /
            ("build_" + std::string(testing::UnitTest::GetInstance()->current_test_info()->name()) +
             ".json");
    log_ = path_;
    log_ += ".log";
    TearDown();
  }
  void TearDown() override {
    for (const fs::path& path : {path_, log_, fs::path(log_.string() + ".lock")}) fs::remove(path);
  }
  fs::path path_, log_;
};

TEST_F(BuildLutTest, RecoversLayerLatenciesAndStopsWhenAllAreKnown) {
  FaultyEngine engine({.overhead_us = 15});
  BuildProgress last;
  const Lut lut = BuildLut(engine, TinyNetwork,
                           {.seconds = 60, .on_progress = [&](const auto& p) { last = p; }});
  EXPECT_LT(last.seconds, 30) << "did not stop early";
  EXPECT_EQ(last.keys_measured, last.keys_wanted);
  EXPECT_GT(lut.entries.size(), 100u);
  for (const auto& [key, entry] : lut.entries) EXPECT_GE(entry.samples, 3) << key;
  EXPECT_LT(Quantile(Absolute(EntryErrors(lut)), 0.95), 0.05);
  EXPECT_NEAR(lut.overhead_us, 15, 3);
  ASSERT_TRUE(lut.band);
  EXPECT_EQ(lut.band->networks, 12);
  EXPECT_LT(lut.band->mape, 0.02);
  EXPECT_EQ(lut.target, engine.Target());
}

TEST_F(BuildLutTest, TakesOutDrift) {
  // About 20 % slower at the end; the LUT must be as good as on a steady machine, at the speed of
  // its reference.
  FaultyEngine engine({.drift_per_second = 0.1, .pause_seconds = 0.004}, 0.005);
  const Lut lut = BuildLut(engine, TinyNetwork, {.seconds = 2, .samples_per_key = 1000});
  EXPECT_GT(lut.noise_floor, 0.05);
  std::vector<double> errors = EntryErrors(lut);
  const double speed = Median(errors);
  for (double& error : errors) error = (1 + error) / (1 + speed) - 1;
  EXPECT_LT(Quantile(Absolute(errors), 0.9), 0.02);
  // Networks held back ran on the machine as it was, now fast, now slow.
  ASSERT_TRUE(lut.band);
  EXPECT_NEAR(lut.band->mape, 0.05, 0.02);
  EXPECT_LT(std::abs(lut.band->bias), 0.02);
}

TEST_F(BuildLutTest, PredictsWhatUsersGetFromAProfilerThatLies) {
  FaultyEngine engine({.overhead_us = 10, .profiler_us_per_layer = 1, .lost_us_per_node = 0.3});
  const Lut lut = BuildLut(engine, TinyNetwork, {.seconds = 60});
  const CheckResult check = CheckLut(engine, lut, FreshNetworks(40));
  EXPECT_LT(check.band.mape, 0.02);
  EXPECT_LT(std::abs(check.band.bias), 0.01);
}

TEST_F(BuildLutTest, ResumesWithoutLosingAnything) {
  FaultyEngine engine({});
  int networks = 0;
  BuildOptions options{.seconds = 60, .seed = 7, .file = path_};
  options.on_progress = [&](const BuildProgress&) {
    if (++networks == 9) throw std::runtime_error("enough");
  };
  EXPECT_THROW(BuildLut(engine, TinyNetwork, options), std::runtime_error);
  EXPECT_FALSE(fs::exists(path_)) << "the table is not finished";
  const Journal::Past stopped = Journal(log_, engine.Target()).past();
  ASSERT_EQ(stopped.measurements.size(), 9u);
  ASSERT_TRUE(stopped.reference);

  options.on_progress = nullptr;
  const Lut resumed = BuildLut(engine, TinyNetwork, options);
  EXPECT_FALSE(fs::exists(log_));
  EXPECT_EQ(resumed.reference->network.layers, stopped.reference->layers);
  for (const Measurement& measurement : stopped.measurements) {
    for (const net::Layer& layer : measurement.layers) {
      ASSERT_TRUE(resumed.entries.contains(KeyOf(layer)));
    }
  }
  for (const auto& [key, entry] : resumed.entries) EXPECT_GE(entry.samples, 3) << key;
  EXPECT_LT(Quantile(Absolute(EntryErrors(resumed)), 0.95), 0.05);

  // Nothing is left to measure: the reference, some held-out networks, and the same entries.
  engine.compiled = 0;
  const Lut again = BuildLut(engine, TinyNetwork, options);
  EXPECT_EQ(engine.compiled, 1 + options.check_networks);
  for (const auto& [key, entry] : resumed.entries)
    EXPECT_EQ(again.entries.at(key).latency_us, entry.latency_us);
}

TEST_F(BuildLutTest, ALogCutShortLosesOneNetwork) {
  FaultyEngine engine({});
  BuildOptions options{.seconds = 60, .seed = 7, .file = path_};
  int networks = 0;
  options.on_progress = [&](const BuildProgress&) {
    if (++networks == 5) throw std::runtime_error("enough");
  };
  EXPECT_THROW(BuildLut(engine, TinyNetwork, options), std::runtime_error);
  const std::string whole = ReadFile(log_);
  const size_t last = whole.rfind("{\"at\"");
  for (const size_t size : {last + 1, last + 40, whole.size() - 1}) {
    WriteFileAtomically(log_, whole.substr(0, size));
    EXPECT_EQ(Journal(log_, engine.Target()).past().measurements.size(), 4u) << size;
  }
  // What was added after the cut is whole.
  EXPECT_EQ(Journal(log_, engine.Target()).past().measurements.size(), 4u);
}

TEST_F(BuildLutTest, ALogThatIsNotOneIsNamed) {
  FaultyEngine engine({});
  const auto message = [&] {
    return MessageOf(ErrorKind::kInput, [&] { Journal(log_, engine.Target()); });
  };
  WriteFileAtomically(log_, "{\"format\": \"something\"}\n");
  EXPECT_THAT(message(), testing::HasSubstr(log_.string()));
  fs::remove(log_);
  Journal(log_, engine.Target()).Add(ReferenceTime{.seconds = 1, .latency_us = 2});
  const std::string good = ReadFile(log_);
  WriteFileAtomically(log_, good + "nonsense\n{\"at\": 2, \"reference_us\": 2}\n");
  EXPECT_THAT(message(), testing::HasSubstr(".log:4: broken line"));
  WriteFileAtomically(log_, good + "{\"at\": 2, \"reference_us\": -2}\n");
  EXPECT_THAT(message(), testing::HasSubstr(".log:4: -2 us is not a latency"));

  WriteFileAtomically(log_, good);
  const auto other = engine::MakeFakeEngine({.target = {.threads = 3}});
  EXPECT_THAT([&] { Journal(log_, other->Target()); },
              testing::ThrowsMessage<Error>(testing::HasSubstr("threads is '1', here it is '3'")));
  const Journal busy(log_, engine.Target());
  EXPECT_THAT(message(), testing::HasSubstr("another process"));
}

TEST_F(BuildLutTest, RefusesTheFileOfAnotherTarget) {
  FaultyEngine engine({});
  Lut lut;
  lut.target = engine.Target();
  lut.target.device_name = "another device";
  WriteLut(path_, lut);
  EXPECT_THAT([&] { BuildLut(engine, TinyNetwork, {.seconds = 1, .file = path_}); },
              testing::ThrowsMessage<Error>(testing::HasSubstr("device_name is 'another device'")));
}

TEST_F(BuildLutTest, KeepsToItsBudget) {
  FaultyEngine engine({.pause_seconds = 0.01});
  const auto start = std::chrono::steady_clock::now();
  const Lut lut = BuildLut(engine, TinyNetwork, {.seconds = 1});
  const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
  EXPECT_LT(time.count(), 1.6);
  EXPECT_GT(time.count(), 0.7);
  ASSERT_TRUE(lut.band);
  EXPECT_GE(lut.band->networks, 4);
}

TEST(CheckLut, ReportsWhatTheLutGetsWrong) {
  FaultyEngine engine({}, 0.002);
  Lut lut = BuildLut(engine, TinyNetwork, {.seconds = 60});
  lut.reference->latency_us *= 0.9;  // the machine was faster then
  const CheckResult slower = CheckLut(engine, lut, FreshNetworks(20));
  EXPECT_NEAR(slower.slowdown, 1 / 0.9, 0.01);
  EXPECT_NEAR(slower.least_slowdown, 1 / 0.9, 0.01);
  EXPECT_NEAR(slower.most_slowdown, 1 / 0.9, 0.01);
  EXPECT_LT(slower.band.mape, 0.01);
  EXPECT_EQ(slower.rows.size(), 20u);
  EXPECT_EQ(slower.rows[0].name, "tiny");
  for (auto& [key, entry] : lut.entries) entry.latency_us *= 1.1;
  for (auto& [key, entry] : lut.parts) entry.latency_us *= 1.1;
  EXPECT_NEAR(CheckLut(engine, lut, FreshNetworks(20)).band.bias, 0.1, 0.02);
  for (auto& [key, entry] : lut.entries) entry.latency_us /= 1.1;
  for (auto& [key, entry] : lut.parts) entry.latency_us /= 1.1;
  lut.reference.reset();
  const CheckResult check = CheckLut(engine, lut, FreshNetworks(20));
  EXPECT_EQ(check.slowdown, 1);
  EXPECT_LT(check.band.mape, 0.01);
  EXPECT_GT(check.band.spearman, 0.99);
}

TEST(CheckLut, TellsThatTheMachineChangedItsSpeed) {
  FaultyEngine steady({}, 0.002);
  const Lut lut = BuildLut(steady, TinyNetwork, {.seconds = 60});
  FaultyEngine engine({.drift_per_second = 10}, 0.002);
  const CheckResult check = CheckLut(engine, lut, FreshNetworks(4));
  EXPECT_LT(check.least_slowdown, check.slowdown);
  EXPECT_LT(check.slowdown, check.most_slowdown);
  EXPECT_GT(check.most_slowdown, 1.25 * check.least_slowdown);
}

TEST(Cover, ShowsEveryKeyOftenEnoughAndRepeatsItself) {
  Cover cover(TinyNetwork, 1, 2), twin(TinyNetwork, 1, 2);
  std::map<LayerKey, int> samples;
  int networks = 0;
  while (const auto network = cover.Next()) {
    ASSERT_EQ(*network, *twin.Next());
    for (const net::Layer& layer : network->layers) {
      ++samples[KeyOf(layer)];
      cover.AddSamples(KeyOf(layer), 1);
      twin.AddSamples(KeyOf(layer), 1);
    }
    ASSERT_LT(++networks, 2000);
  }
  EXPECT_EQ(static_cast<size_t>(cover.keys_wanted()), samples.size());
  for (const auto& [key, count] : samples) EXPECT_GE(count, 2) << key;

  // Drawn at random, the same number of networks leaves more keys short.
  std::map<LayerKey, int> random;
  for (int i = 0; i < networks; ++i) {
    for (const net::Layer& layer : TinyNetwork(SubSeed(9, "random", i)).layers)
      ++random[KeyOf(layer)];
  }
  int enough = 0;
  for (const auto& [key, count] : random) enough += count >= 2 ? 1 : 0;
  EXPECT_LT(enough, static_cast<int>(samples.size()));
}

// A stage of equal blocks, as spaces have them.
net::Network Uniform(uint64_t draw) {
  Random random(draw);
  net::Network network{.name = "uniform", .input = {3, 32, 32}, .layers = {}};
  network.layers.push_back(
      {.op = net::Op::kConv, .in = network.input, .out_channels = 8, .stride = 2});
  net::Layer block{.op = net::Op::kIrb, .in = {8, 16, 16}, .out_channels = 8};
  block.kernel = random.Below(2) == 0 ? 3 : 5;
  block.mid_channels = 8 * (2 + static_cast<int>(random.Below(5)));
  block.act = random.Below(2) == 0 ? net::Activation::kRelu : net::Activation::kSwish;
  block.residual = true;
  network.layers.insert(network.layers.end(), 1 + random.Below(12), block);
  network.layers.push_back(
      {.op = net::Op::kTail, .in = block.out(), .out_channels = 10, .mid_channels = 16});
  net::Validate(network);
  return network;
}

TEST(Cover, FillsStagesWithDifferentLayers) {
  Cover cover(Uniform, 1, 3);
  std::map<LayerKey, int> samples;
  int networks = 0, different = 0;
  size_t longest = 0;
  while (const auto network = cover.Next()) {
    EXPECT_NO_THROW(net::Validate(*network));
    longest = std::max(longest, network->layers.size());
    std::map<LayerKey, int> here;
    for (const net::Layer& layer : network->layers) {
      ++here[KeyOf(layer)];
      ++samples[KeyOf(layer)];
      cover.AddSamples(KeyOf(layer), 1);
    }
    different += here.size() > 3 ? 1 : 0;
    ASSERT_LT(++networks, 200);
  }
  EXPECT_EQ(samples.size(), 2u + 2 * 2 * 5) << "every kind of block";
  for (const auto& [key, count] : samples) EXPECT_GE(count, 3) << key;
  EXPECT_GT(different, networks / 3);
  EXPECT_GT(longest, 8u) << "as long as what was drawn, for the caches' sake";
  // One network shows several, so it takes fewer than one for every three samples of a block.
  EXPECT_LT(networks, 40);
}

TEST(Cover, WorthDecidesWhenItIsKnown) {
  Cover cover(Uniform, 1, 3);
  cover.SetWorth([](const net::Network& network) {
    for (const net::Layer& layer : network.layers) {
      if (layer.mid_channels == 48 && layer.kernel == 5) return 1.0;
    }
    return 1e-6;
  });
  for (int i = 0; i < 5; ++i) {
    const net::Network network = *cover.Next();
    EXPECT_TRUE(std::ranges::any_of(network.layers, [](const net::Layer& layer) {
      return layer.mid_channels == 48 && layer.kernel == 5;
    })) << i;
  }
}

TEST_F(BuildLutTest, MeasuresNetworksOutsideTheSpaceToo) {
  FaultyEngine engine({}, 0.01);
  const net::Network other = Uniform(1);
  const Lut lut = BuildLut(engine, TinyNetwork, {.seconds = 60, .also = {other}});
  for (const net::Layer& layer : other.layers) {
    ASSERT_TRUE(lut.entries.contains(KeyOf(layer))) << KeyOf(layer);
    EXPECT_NEAR(*lut.Find(layer) / engine::FakeLayerLatencyUs(layer), 1, 0.05);
  }
  ASSERT_TRUE(lut.key_band);
  EXPECT_LT(lut.key_band->median, 0.1);
}

// A short table must have seen them, or it extrapolates to them.
TEST_F(BuildLutTest, BeginsWithTheNetworksOutsideTheSpaceCheapestFirst) {
  FaultyEngine engine({}, 0.01);
  BuildOptions options{.seconds = 60, .file = path_};
  for (const int side : {40, 24, 32}) {
    options.also.push_back(net::WithInput(TinyNetwork(5), {1, side, side}));
  }
  int networks = 0;
  options.on_progress = [&](const BuildProgress&) {
    if (++networks == 4) throw std::runtime_error("enough");
  };
  EXPECT_THROW(BuildLut(engine, TinyNetwork, options), std::runtime_error);
  const Journal::Past past = Journal(log_, engine.Target()).past();
  std::vector<int> sides;
  for (const Measurement& one : past.measurements) sides.push_back(one.layers.front().in.h);
  ASSERT_EQ(sides.size(), 4u);
  EXPECT_THAT(std::vector(sides.begin(), sides.begin() + 3), testing::ElementsAre(24, 32, 40));
  EXPECT_LE(sides[3], 20);  // of the space
}

// Of the fake engine's layers, a part's time depends a little on where in a layer it is; unseen
// layers are still the sum of parts.
TEST_F(BuildLutTest, LayersNeverSeenAreSumsOfParts) {
  FaultyEngine engine({}, 0.005);
  const Lut lut = BuildLut(engine, Uniform, {.seconds = 60});
  net::Layer block = Uniform(1).layers[1];
  block.mid_channels = 36;  // between those of the space
  ASSERT_FALSE(lut.entries.contains(KeyOf(block)));
  const Estimate estimate = Estimator(lut).Layer(block);
  EXPECT_FALSE(estimate.measured);
  EXPECT_NEAR(estimate.latency_us / engine::FakeLayerLatencyUs(block), 1, 0.05);
  EXPECT_GT(estimate.sigma_us, 0);
}

}  // namespace
}  // namespace lathe::latency
