#include "train/trainer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <thread>

#include "base/clock.h"
#include "base/file.h"
#include "base/random.h"
#include "base/temp_folder_testing.h"
#include "train/module.h"

namespace lathe::train {
namespace {

// Four classes of 12 x 12 stripes and blobs under noise.
class Patterns final : public data::Dataset {
 public:
  explicit Patterns(int count, uint64_t seed = 1) : count_(count), seed_(seed) {}
  int64_t size() const override { return count_; }
  int channels() const override { return 1; }
  const std::vector<std::string>& class_names() const override { return names_; }
  int Label(int64_t index) const override { return static_cast<int>(index % 4); }
  bool InMemory() const override { return true; }
  data::Image Load(int64_t index, int) const override {
    Random random(SubSeed(seed_, "image", static_cast<uint64_t>(index)));
    data::Image image{12, 12, 1, {}};
    for (int y = 0; y < 12; ++y) {
      for (int x = 0; x < 12; ++x) {
        const int at[] = {y / 2 % 2, x / 2 % 2, (x + y) / 2 % 2, x > 3 && x < 9 && y > 3 && y < 9};
        image.pixels.push_back(
            static_cast<uint8_t>(150 * at[Label(index)] + static_cast<int>(random.Below(100))));
      }
    }
    return image;
  }

 private:
  const int count_;
  const uint64_t seed_;
  std::vector<std::string> names_{"rows", "columns", "diagonals", "blobs"};
};

net::Network SmallNetwork() {
  net::Network network{.name = "small", .input = {1, 12, 12}, .layers = {}};
  net::Shape shape = network.input;
  const auto add = [&](net::Layer layer) {
    layer.in = shape;
    network.layers.push_back(layer);
    shape = network.layers.back().out();
  };
  add({.op = net::Op::kConv, .out_channels = 8, .stride = 2});
  add({.op = net::Op::kFusedIrb,
       .out_channels = 8,
       .mid_channels = 16,
       .act = net::Activation::kSwish,
       .residual = true});
  add({.op = net::Op::kIrb, .out_channels = 16, .stride = 2, .mid_channels = 24, .se_channels = 4});
  add({.op = net::Op::kTail, .out_channels = 4, .mid_channels = 24});
  return network;
}

class TrainTest : public testing::Test {
 protected:
  TrainTest() {
    options_.preprocessing = {.resolution = 12, .channels = 1};
    options_.recipe.epochs = 3;
    options_.recipe.batch = 16;
    options_.recipe.learning_rate = 0.05;
  }
  TrainResult Run() { return Train(network_, train_, evaluation_, options_); }
  // Processes, for which threads stand in: each has its own torch state, gloo lies between them.
  // `change` is applied to each one's options. Torch's log of collectives is one per process and
  // takes no two writers, so it is off.
  std::vector<TrainResult> RunTogether(int processes, const fs::path& rendezvous,
                                       const std::function<void(TrainOptions&)>& change = {}) {
    setenv("TORCH_FR_BUFFER_SIZE", "0", /*overwrite=*/1);
    std::vector<TrainResult> results(static_cast<size_t>(processes));
    std::vector<std::jthread> threads;
    for (int rank = 0; rank < processes; ++rank) {
      threads.emplace_back([&, rank] {
        TrainOptions options = options_;
        options.parallel = {.rank = rank, .processes = processes, .rendezvous = rendezvous};
        if (change) change(options);
        results[static_cast<size_t>(rank)] = Train(network_, train_, evaluation_, options);
      });
    }
    threads.clear();
    return results;
  }

  const net::Network network_ = SmallNetwork();
  const std::shared_ptr<const data::Dataset> train_ = std::make_shared<Patterns>(192);
  const std::shared_ptr<const data::Dataset> evaluation_ = std::make_shared<Patterns>(60, 2);
  const TempFolder folder_;
  TrainOptions options_;
};

// NCCL wants a GPU for each process.
#define SKIP_ON_ONE_GPU() \
  if (ComputeDevice() != at::kCPU) GTEST_SKIP() << "SKIPPED: processes share no GPU"

void ExpectSameWeights(const net::Weights& a, const net::Weights& b) {
  ASSERT_EQ(a.tensors.size(), b.tensors.size());
  for (const auto& [name, tensor] : a.tensors) EXPECT_EQ(tensor.values, b.at(name).values) << name;
}

TEST_F(TrainTest, LearnsSeparablePatterns) {
  options_.recipe.epochs = 8;
  for (const bool bf16 : {false, true}) {
    options_.recipe.precision = bf16 ? Precision::kBf16 : Precision::kF32;
    std::vector<EpochMetrics> seen;
    options_.on_epoch = [&](const EpochMetrics& metrics) { seen.push_back(metrics); };
    const TrainResult result = Run();
    EXPECT_FALSE(result.interrupted);
    EXPECT_GT(result.accuracy, 0.95) << bf16;
    EXPECT_LT(result.loss, 0.3) << bf16;
    EXPECT_EQ(result.images_seen, 8 * 192);
    ASSERT_EQ(seen.size(), 8u);
    EXPECT_EQ(seen.back().epoch, 8);
    EXPECT_LT(seen.back().train_loss, seen.front().train_loss / 3);
    EXPECT_EQ(seen.back().accuracy, result.accuracy);
  }
}

TEST_F(TrainTest, EveryOptimizerLearns) {
  options_.recipe.epochs = 6;
  options_.recipe.ema = 0.9;
  options_.recipe.clip_norm = 5;
  options_.evaluate_every_epoch = false;
  for (const auto& [optimizer, rate] :
       {std::pair{Optimizer::kAdamW, 0.01}, std::pair{Optimizer::kRmsPropTf, 0.01}}) {
    options_.recipe.optimizer = optimizer;
    options_.recipe.learning_rate = rate;
    const TrainResult result = Run();
    EXPECT_GT(result.accuracy, 0.9) << static_cast<int>(optimizer);
    EXPECT_EQ(result.epochs.size(), 1u);  // judged at the end only
  }
}

TEST_F(TrainTest, SaysThatItDiverged) {
  for (const double rate : {1e20, 1e38}) {
    options_.recipe.learning_rate = rate;
    SCOPED_TRACE(rate);
    ExpectError(ErrorKind::kInput, "training diverged", [&] { Run(); });
  }
}

// A variance beyond the largest float, of which evaluation makes zeros: the loss stays finite.
TEST_F(TrainTest, RefusesWeightsThatAreNotFinite) {
  options_.preprocessing.std.fill(1e-22f);
  ExpectError(ErrorKind::kInput, "with weights that are not finite", [&] { Run(); });
}

TEST_F(TrainTest, ReturnedWeightsGiveTheReportedAccuracy) {
  options_.recipe.ema = 0.8;  // then the averaged weights are the result
  const TrainResult result = Run();
  TrainedModel model(network_, result.weights, 1);
  data::Loader loader(evaluation_,
                      {.preprocessing = options_.preprocessing, .augmentation = {}, .batch = 60});
  data::Batch batch;
  ASSERT_TRUE(loader.Next(batch));
  const std::vector<float> logits = model.Logits(batch.images, 60);
  double correct = 0, loss = 0;
  for (size_t i = 0; i < 60; ++i) {
    const auto row = logits.begin() + static_cast<std::ptrdiff_t>(4 * i);
    correct += std::max_element(row, row + 4) - row == batch.labels[i] ? 1 : 0;
    double sum = 0;
    for (size_t c = 0; c < 4; ++c)
      sum += std::exp(static_cast<double>(row[static_cast<std::ptrdiff_t>(c)]));
    loss += std::log(sum) - static_cast<double>(row[batch.labels[i]]);
  }
  EXPECT_DOUBLE_EQ(result.accuracy, correct / 60);
  EXPECT_NEAR(result.loss, loss / 60, 1e-5);
}

TEST_F(TrainTest, StoppedAndResumedEqualsUninterrupted) {
  options_.recipe.ema = 0.9;
  options_.recipe.dropout = 0.2;
  options_.recipe.drop_connect = 0.2;
  options_.recipe.augmentation = {.flip = true, .pad_crop = 1};
  for (const Optimizer optimizer : {Optimizer::kSgd, Optimizer::kRmsPropTf}) {
    options_.recipe.optimizer = optimizer;
    options_.checkpoint.clear();
    options_.stop = nullptr;
    const TrainResult whole = Run();

    options_.checkpoint = folder_ / fmt::format("checkpoint{}", static_cast<int>(optimizer));
    TrainResult part;
    int runs = 0;
    do {
      int steps = 0;
      options_.stop = [&] { return ++steps > 8; };  // 12 steps are an epoch
      part = Run();
      ASSERT_LT(++runs, 10);
    } while (part.interrupted);
    EXPECT_EQ(runs, 5);
    ExpectSameWeights(part.weights, whole.weights);
    EXPECT_EQ(part.loss, whole.loss);
    ASSERT_EQ(part.epochs.size(), whole.epochs.size());
    for (size_t i = 0; i < whole.epochs.size(); ++i) {
      EXPECT_EQ(part.epochs[i].train_loss, whole.epochs[i].train_loss);
      EXPECT_EQ(part.epochs[i].accuracy, whole.epochs[i].accuracy);
      EXPECT_GT(part.epochs[i].seconds, i > 0 ? part.epochs[i - 1].seconds : 0.0);
    }
    const TrainResult again = Run();  // nothing left to do
    ExpectSameWeights(again.weights, whole.weights);
  }
}

TEST_F(TrainTest, GivesUpAndKeepsTheBest) {
  options_.recipe.epochs = 20;
  options_.recipe.learning_rate = 0;  // so that nothing but the norms' averages changes
  options_.recipe.early_stop = 3;
  options_.recipe.keep = Keep::kBest;
  options_.best = folder_ / "best.safetensors";
  const TrainResult result = Run();
  EXPECT_TRUE(result.early);
  EXPECT_EQ(result.epochs.back().epoch, result.epoch + 3);
  const auto best = std::ranges::max_element(result.epochs, {}, &EpochMetrics::accuracy);
  EXPECT_EQ(result.accuracy, best->accuracy);
  const net::Weights file = net::ReadSafetensors(options_.best);
  ExpectSameWeights(file, result.weights);
  EXPECT_EQ(file.metadata.at("epoch"), std::to_string(result.epoch));
  EXPECT_EQ(file.metadata.at("preprocessing"), result.weights.metadata.at("preprocessing"));
}

TEST_F(TrainTest, TheBestSurvivesInterruption) {
  options_.recipe.epochs = 6;
  options_.recipe.learning_rate = 0.3;  // unsteady: the last epoch need not be the best
  options_.recipe.keep = Keep::kBest;
  const TrainResult whole = Run();
  options_.checkpoint = folder_ / "checkpoint";
  TrainResult part;
  do {
    int steps = 0;
    options_.stop = [&] { return ++steps > 17; };
    part = Run();
  } while (part.interrupted);
  EXPECT_EQ(part.epoch, whole.epoch);
  ExpectSameWeights(part.weights, whole.weights);
}

TEST_F(TrainTest, HalfPrecisionNeedsAGpu) {
  options_.recipe.epochs = 1;
  const TrainResult exact = Run();
  options_.recipe.precision = Precision::kF16;
  if (ComputeDevice() == at::kCPU) {
    ExpectSameWeights(Run().weights, exact.weights);
  } else {
    EXPECT_NEAR(Run().loss, exact.loss, 0.05 + 0.1 * exact.loss);
  }
}

// A student that never sees a label learns what its teacher knows.
TEST_F(TrainTest, LearnsFromATeacher) {
  options_.recipe.epochs = 8;
  const TrainResult taught = Run();
  options_.teacher =
      MakeTeacher(network_, taught.weights, options_.preprocessing, options_.threads);
  options_.seed = 2;
  options_.recipe.distillation = {.weight = 1, .temperature = 2};
  EXPECT_GT(Run().accuracy, 0.95);
  options_.recipe.distillation.kind = Distillation::Kind::kHard;
  EXPECT_GT(Run().accuracy, 0.95);
}

// Whether the lanes are in one process or in several, and how many run at a time, is not in the
// weights.
TEST_F(TrainTest, LanesAloneDecideTheBits) {
  SKIP_ON_ONE_GPU();
  options_.recipe.epochs = 1;
  options_.recipe.batch = 64;
  options_.recipe.dropout = 0.2;
  options_.recipe.drop_connect = 0.2;
  options_.recipe.ema = 0.9;
  options_.recipe.clip_norm = 2;
  options_.recipe.accumulate = 2;
  options_.recipe.augmentation = {.flip = true, .pad_crop = 1, .mixup = 0.2};
  for (const bool bf16 : {false, true}) {
    options_.recipe.precision = bf16 ? Precision::kBf16 : Precision::kF32;
    options_.recipe.lanes = 4;
    options_.threads = 1;
    const TrainResult alone = Run();
    options_.threads = 4;
    ExpectSameWeights(Run().weights, alone.weights);
    options_.recipe.lanes = 0;  // as many as threads
    ExpectSameWeights(Run().weights, alone.weights);
    for (const int processes : {2, 4}) {
      options_.threads = 4 / processes;
      const std::vector<TrainResult> together =
          RunTogether(processes, folder_ / fmt::format("meeting{}{}", processes, bf16));
      for (const TrainResult& result : together) ExpectSameWeights(result.weights, alone.weights);
      EXPECT_EQ(together[0].epochs[0].train_loss, alone.epochs[0].train_loss);
      EXPECT_EQ(together[0].accuracy, alone.accuracy);
      EXPECT_NEAR(together[0].loss, alone.loss, 1e-12 * alone.loss);  // added up otherwise
    }
    options_.threads = 1;
    EXPECT_NE(Run().loss, alone.loss);  // one lane is another training, by rounding
  }
}

// Where lanes would have few images, threads share them: alike in one process and in two.
TEST_F(TrainTest, ThreadsShareLanesOfFewImages) {
  SKIP_ON_ONE_GPU();
  options_.recipe.epochs = 1;
  options_.threads = 4;  // two lanes of 8 images, two threads each
  const TrainResult alone = Run();
  options_.threads = 2;
  ExpectSameWeights(RunTogether(2, folder_ / "meeting")[0].weights, alone.weights);
}

// Three lanes take unequal parts of 16 images, and a fourth of the batch per pass leaves one of
// them with a single image.
TEST_F(TrainTest, UnequalLanesTrainAsOne) {
  SKIP_ON_ONE_GPU();
  options_.recipe.lanes = 1;
  const TrainResult one = Run();
  options_.recipe.lanes = 3;
  const TrainResult three = Run();
  for (size_t i = 0; i < one.epochs.size(); ++i)
    EXPECT_NEAR(three.epochs[i].train_loss, one.epochs[i].train_loss, 1e-3);
  options_.recipe.accumulate = 4;
  EXPECT_GT(Run().accuracy, 0.5);
}

// With norms of their own, two processes are what two passes of one are: each image has the same
// masks.
TEST_F(TrainTest, TwoProcessesTrainAsTwoPasses) {
  SKIP_ON_ONE_GPU();
  options_.recipe.dropout = 0.2;
  options_.recipe.drop_connect = 0.2;
  options_.recipe.augmentation = {.flip = true, .pad_crop = 1, .mixup = 0.2};
  options_.recipe.sync_norm = false;
  options_.recipe.accumulate = 2;
  options_.recipe.lanes = 1;  // so that each pass has one of the processes' images
  const TrainResult alone = Run();
  options_.recipe.accumulate = 1;
  const std::vector<TrainResult> together = RunTogether(2, folder_ / "meeting");
  ASSERT_EQ(together[0].epochs.size(), alone.epochs.size());
  for (size_t i = 0; i < alone.epochs.size(); ++i) {
    EXPECT_NEAR(together[0].epochs[i].train_loss, alone.epochs[i].train_loss,
                1e-5 * alone.epochs[i].train_loss);
  }
}

TEST_F(TrainTest, ForeseesItsEnd) {
  options_.recipe.epochs = 80;
  std::vector<double> foreseen;  // seconds from the start to the end
  const auto begin = std::chrono::steady_clock::now();
  options_.on_progress = [&](const TrainProgress& at) {
    if (4 * at.step > 3 * at.steps) foreseen.push_back(SecondsSince(begin) + at.seconds_left);
  };
  Run();
  const double seconds = SecondsSince(begin);
  ASSERT_FALSE(foreseen.empty());
  for (const double end : foreseen) {
    EXPECT_GT(end, seconds / 1.5);
    EXPECT_LT(end, seconds * 1.5);
  }
}

TEST_F(TrainTest, ProcessesWithNormsOfTheirOwnAgreeOnTheResult) {
  SKIP_ON_ONE_GPU();
  options_.recipe.sync_norm = false;
  options_.recipe.epochs = 6;
  const std::vector<TrainResult> together = RunTogether(2, folder_ / "meeting");
  ExpectSameWeights(together[0].weights, together[1].weights);
  EXPECT_GT(together[0].accuracy, 0.9);
}

TEST_F(TrainTest, ProcessesStopAndContinueTogether) {
  SKIP_ON_ONE_GPU();
  const TrainResult whole = Run();
  options_.checkpoint = folder_ / "checkpoint";
  std::vector<TrainResult> results;
  int runs = 0;
  do {
    results = RunTogether(2, folder_ / fmt::format("meeting{}", runs), [](TrainOptions& options) {
      const bool second = options.parallel.rank == 1;  // it is asked to stop
      options.stop = [second, steps = 0]() mutable { return second && ++steps > 8; };
    });
    EXPECT_EQ(results[0].interrupted, results[1].interrupted);
    ASSERT_LT(++runs, 10);
  } while (results[0].interrupted);
  EXPECT_GT(runs, 2);
  EXPECT_NEAR(results[0].loss, whole.loss, 1e-3 * whole.loss);
}

TEST_F(TrainTest, SaysWhenProcessesCannotShareABatch) {
  options_.recipe.batch = 15;
  options_.parallel = {.rank = 0, .processes = 2, .rendezvous = folder_ / "meeting"};
  ExpectError(ErrorKind::kInput, "a batch of 15 cannot be shared equally by 2 processes",
              [&] { Run(); });
}

TEST_F(TrainTest, SameSeedSameResult) {
  options_.recipe.epochs = 1;
  const TrainResult first = Run(), second = Run();
  ExpectSameWeights(first.weights, second.weights);
  options_.seed = 2;
  EXPECT_NE(Run().loss, first.loss);
}

TEST_F(TrainTest, FractionalEpochsAndPartsOfTheSet) {
  options_.recipe.epochs = 2.5;
  options_.recipe.images_per_epoch = 64;
  const TrainResult result = Run();
  EXPECT_EQ(result.images_seen, 160);
  EXPECT_EQ(result.epochs.size(), 3u);
}

TEST_F(TrainTest, RefusesAForeignOrDamagedCheckpoint) {
  options_.recipe.epochs = 1;
  options_.checkpoint = folder_ / "checkpoint";
  Run();
  options_.recipe.learning_rate = 0.07;
  ExpectError(ErrorKind::kInput, "checkpoint: belongs to another network, recipe", [&] { Run(); });
  WriteFileAtomically(options_.checkpoint, ReadFile(options_.checkpoint).substr(0, 3000));
  ExpectError(ErrorKind::kInput, "checkpoint", [&] { Run(); });
}

TEST_F(TrainTest, SaysWhenItDiverges) {
  options_.recipe.optimizer = Optimizer::kSgd;
  options_.recipe.learning_rate = 1e3;
  options_.recipe.warmup = 0;
  options_.recipe.weight_decay = 1;
  ExpectError(ErrorKind::kInput, "lower learning_rate (it is 1000)", [&] { Run(); });
}

TEST_F(TrainTest, SaysWhatDoesNotFit) {
  options_.preprocessing.resolution = 14;
  ExpectError(ErrorKind::kInput,
              "the network takes images of 12 x 12 x 1, the data gives 14 x 14 x 1",
              [&] { Run(); });
  options_.preprocessing.resolution = 12;
  const net::Network two = net::WithClasses(network_, 2);
  ExpectError(ErrorKind::kInput, "the network has 2 classes, the data set 4",
              [&] { Train(two, train_, evaluation_, options_); });
}

}  // namespace
}  // namespace lathe::train
