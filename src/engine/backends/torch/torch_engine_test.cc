#include "engine/backends/torch/torch_engine.h"

#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/temp_folder_testing.h"
#include "engine/backends/torch/gpu.h"
#include "engine/backends/torch/session.h"
#include "engine/reference_testing.h"

namespace lathe::engine {
namespace {

const TimingOptions kShort{.warmup = 5, .min_runs = 30, .min_seconds = 0.05};

TEST(TorchEngine, AgreesWithTheReference) {
  const net::Network network = EveryOpNetwork();
  const net::Weights weights = BusyWeights(network, 1);
  const std::vector<float> images = RandomImages(network, 35, 2);
  const std::vector<float> expected = ReferenceRun(network, weights, images, 35);
  EXPECT_LT(LargestDifference(MakeTorchEngine({})->Compile(network, weights, {})->Run(images, 35),
                              expected),
            1e-4);
}

TEST(TorchEngine, ComputesInBf16WhereTheProcessorDoes) {
  const TargetOptions target{.precision = Precision::kBf16};
  if (!__builtin_cpu_supports("avx512bw")) {
    ExpectError(ErrorKind::kInput,
                "engine torch: precision bf16 is not supported on a CPU without AVX-512; use f32",
                [&] { MakeTorchEngine(target); });
    GTEST_SKIP() << "SKIPPED: this processor has no AVX-512";
  }
  const net::Network network = EveryOpNetwork();
  const net::Weights weights = BusyWeights(network, 1);
  const std::vector<float> images = RandomImages(network, 35, 2);
  const double difference =
      LargestDifference(MakeTorchEngine(target)->Compile(network, weights, {})->Run(images, 35),
                        ReferenceRun(network, weights, images, 35));
  EXPECT_GT(difference, 1e-4);
  EXPECT_LT(difference, 0.2);
}

TEST(TorchEngine, ProfileCoversTheNetwork) {
  const net::Network network = EveryOpNetwork();
  const std::unique_ptr<CompiledModel> model =
      MakeTorchEngine({.batch = 4})->Compile(network, BusyWeights(network, 1), {.profile = true});
  // The best of a few rounds, since the machine may be busy.
  double best_us = 1e12, best_sum_us = 1e12;
  for (int round = 0; round < 5; ++round) {
    best_us = std::min(best_us, model->Time(kShort).p10_us);
    const std::vector<LayerTime> layers = model->Profile(kShort);
    ASSERT_EQ(layers.size(), network.layers.size());
    double sum_us = 0;
    for (const LayerTime& layer : layers) sum_us += layer.median_us;
    best_sum_us = std::min(best_sum_us, sum_us);
  }
  EXPECT_GT(best_sum_us, best_us / 2);
  EXPECT_LT(best_sum_us, best_us * 2);
}

TEST(TorchEngine, LeavesTorchsThreadsAsTheyWere) {
  at::set_num_threads(2);
  const net::Network network = EveryOpNetwork();
  const std::unique_ptr<CompiledModel> model =
      MakeTorchEngine({.threads = 1})->Compile(network, BusyWeights(network, 1), {});
  model->Time(kShort);
  EXPECT_EQ(at::get_num_threads(), 2);
}

TEST(TorchEngine, FingerprintAndRefusals) {
  const Fingerprint target = MakeTorchEngine({.threads = 2})->Target();
  EXPECT_EQ(target.engine, "torch");
  EXPECT_THAT(target.engine_version, testing::StartsWith("2."));
  EXPECT_FALSE(target.device_name.empty());
  EXPECT_THROW(MakeTorchEngine({.precision = Precision::kF16}), Error);
  EXPECT_THROW(MakeTorchEngine({.precision = Precision::kInt8}), Error);
  EXPECT_THROW(MakeTorchEngine({.device = "TPU"}), Error);
  EXPECT_THROW(MakeTorchEngine({})->Load("model.onnx"), Error);
  const net::Network network = EveryOpNetwork();
  const std::unique_ptr<CompiledModel> model =
      MakeTorchEngine({})->Compile(network, BusyWeights(network, 1), {});
  EXPECT_THROW(model->Profile({}), Error);
}

TEST(TorchOnGpu, ArithmeticIsExactForAWhileAndThenAsItWas) {
  at::Context& context = at::globalContext();
  const auto conv = [&] {
    return context.float32Precision(at::Float32Backend::CUDA, at::Float32Op::CONV);
  };
  context.setAllowTF32CuBLAS(true);
  ASSERT_EQ(conv(), at::Float32Precision::TF32);
  {
    const GpuArithmetic exact;
    EXPECT_FALSE(context.allowTF32CuBLAS());
    EXPECT_EQ(conv(), at::Float32Precision::IEEE);
    EXPECT_TRUE(context.benchmarkCuDNN());
  }
  EXPECT_TRUE(context.allowTF32CuBLAS());
  EXPECT_EQ(conv(), at::Float32Precision::TF32);
  EXPECT_FALSE(context.benchmarkCuDNN());
  context.setAllowTF32CuBLAS(false);
}

TEST(TorchOnGpu, PartsAddUpToTheTimeWithoutMarks) {
  std::vector<std::vector<double>> replays_us = {{5, 12, 3.5}, {5, 13, 3.5}, {6, 13, 3.5}};
  TakeOffMarks(replays_us, {18.5, 15.5, 10});  // medians: 21.5 marked, 15.5 plain; 2 a mark
  EXPECT_THAT(replays_us[0], testing::ElementsAre(3, 10, 1.5));
  EXPECT_THAT(replays_us[2], testing::ElementsAre(4, 11, 1.5));
  // Marks never take less than nothing, and nothing takes less than that.
  std::vector<std::vector<double>> free_us = {{5, 5}}, small_us = {{0.5, 19.5}};
  TakeOffMarks(free_us, {11});
  EXPECT_THAT(free_us[0], testing::ElementsAre(5, 5));
  TakeOffMarks(small_us, {18});
  EXPECT_THAT(small_us[0], testing::ElementsAre(0, 18.5));
}

// Why the tests on a GPU cannot run here; empty when they can.
std::string NoGpu() {
  try {
    FindGpu("CUDA");
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

#define SKIP_WITHOUT_GPU()                           \
  if (const std::string why = NoGpu(); !why.empty()) \
  GTEST_SKIP() << "SKIPPED: " << why                 \
               << "\n         Nothing that the torch engine does on GPUs was tested."

TEST(TorchOnGpu, WithoutOneTheErrorSaysWhatIsMissing) {
  for (const char* device : {"TPU", "cuda", "CUDA:", "CUDA:x", "CUDA:-1", "CUDA:1x", "CUDA0"}) {
    ExpectError(ErrorKind::kUnavailable, "use 'CPU', 'CUDA' or 'CUDA:1'",
                [&] { MakeTorchEngine({.device = device}); });
  }
#ifdef LATHE_CUDA
  ExpectError(ErrorKind::kUnavailable, NoGpu().empty() ? "GPU(s)" : "nvidia-smi",
              [] { MakeTorchEngine({.device = "CUDA:100"}); });
#else
  ExpectError(ErrorKind::kUnavailable, "-DLATHE_CUDA=ON",
              [] { MakeTorchEngine({.device = "CUDA"}); });
#endif
}

TEST(TorchOnGpu, AgreesWithTheReference) {
  SKIP_WITHOUT_GPU();
  const net::Network network = EveryOpNetwork();
  const net::Weights weights = BusyWeights(network, 1);
  const std::vector<float> images = RandomImages(network, 35, 2);
  const std::vector<float> expected = ReferenceRun(network, weights, images, 35);
  const auto difference = [&](Precision precision) {
    const std::unique_ptr<Engine> engine =
        MakeTorchEngine({.precision = precision, .device = "CUDA"});
    return LargestDifference(engine->Compile(network, weights, {})->Run(images, 35), expected);
  };
  EXPECT_LT(difference(Precision::kF32), 1e-4) << "TF32 would be off by more";
  EXPECT_GT(difference(Precision::kF16), 1e-4);
  EXPECT_LT(difference(Precision::kF16), 0.03);
  if (FindGpu("CUDA").has_bf16) {
    EXPECT_LT(difference(Precision::kBf16), 0.2);
  }
  EXPECT_THROW(difference(Precision::kInt8), Error);
}

TEST(TorchOnGpu, LayersSumToTheNetworksTime) {
  SKIP_WITHOUT_GPU();
  const net::Network network = EveryOpNetwork();
  const std::unique_ptr<CompiledModel> model =
      MakeTorchEngine({.batch = 64, .precision = Precision::kF16, .device = "CUDA"})
          ->Compile(network, BusyWeights(network, 1), {.profile = true});
  const Timing timing = model->Time(kShort);
  EXPECT_GE(timing.runs, kShort.min_runs);
  const std::vector<LayerTime> layers = model->Profile(kShort);
  ASSERT_EQ(layers.size(), network.layers.size());
  double sum_us = 0;
  for (const LayerTime& layer : layers) {
    EXPECT_GT(layer.median_us, 0) << layer.layer;
    sum_us += layer.median_us;
  }
  // The wall clock's time also holds the launch and the wait, some 10 us.
  EXPECT_GT(sum_us, timing.median_us / 2 - 15);
  EXPECT_LT(sum_us, timing.median_us * 1.3);
}

TEST(TorchOnGpu, FingerprintNamesCardAndVersions) {
  SKIP_WITHOUT_GPU();
  const Fingerprint target = MakeTorchEngine({.device = "CUDA:0"})->Target();
  EXPECT_EQ(target.device, "CUDA:0");
  EXPECT_FALSE(target.device_name.empty());
  EXPECT_THAT(target.engine_version, testing::HasSubstr("CUDA 13."));
  EXPECT_THAT(target.engine_version, testing::HasSubstr("driver "));
}

}  // namespace
}  // namespace lathe::engine
