#include "train/recipe.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "base/temp_folder_testing.h"
#include "train/schedule.h"

namespace lathe::train {
namespace {

Recipe Read(const std::string& text) {
  const ConfigFile file = ConfigFile::ParseToml("[recipe]\n" + text, "r.toml");
  return ReadRecipe(file.root().Table("recipe"));
}

TEST(RecipeTest, ReadsBackWhatItWrites) {
  Recipe recipe;
  recipe.epochs = 0.25;
  recipe.images_per_epoch = 12345;
  recipe.batch = 7;
  recipe.optimizer = Optimizer::kRmsPropTf;
  recipe.schedule = Schedule::kStep;
  recipe.learning_rate = 0.06;
  recipe.weight_decay = 1e-5;
  recipe.drop_connect = 0.2;
  recipe.ema = 0.9999;
  recipe.precision = Precision::kF16;
  recipe.accumulate = 3;
  recipe.sync_norm = false;
  recipe.early_stop = 4;
  recipe.keep = Keep::kBest;
  recipe.evaluation_crop = 0.875;
  recipe.distillation = {.teacher = "/a \"b\"/net.json",
                         .weights = "/w",
                         .kind = Distillation::Kind::kHard,
                         .weight = 0.25,
                         .temperature = 4};
  recipe.augmentation = {
      .flip = true, .pad_crop = 2, .random_erasing = 0.2, .random_resized_crop = true};
  EXPECT_EQ(ToToml(Read(ToToml(recipe))), ToToml(recipe));
  EXPECT_NE(ToToml(recipe), ToToml(Recipe{}));
  EXPECT_EQ(ToToml(Read("")), ToToml(Recipe{}));
}

TEST(RecipeTest, NamesMistakes) {
  ExpectError(ErrorKind::kInput, "learning_rate", [] { Read("learning_rat = 0.1\n"); });
  ExpectError(ErrorKind::kInput, "r.toml:2", [] { Read("batch = 0\n"); });
  ExpectError(ErrorKind::kInput, "adamw", [] { Read("optimizer = \"adamv\"\n"); });
  ExpectError(ErrorKind::kInput, "flip", [] { Read("augmentation = { flp = true }\n"); });
}

TEST(RecipeTest, LengthInEpochs) {
  const auto epochs = [](double length, int64_t images_per_epoch, int64_t batches) {
    return LengthOf({.epochs = length, .images_per_epoch = images_per_epoch, .batch = 10}, batches)
        .epochs();
  };
  EXPECT_EQ(epochs(3, 0, 100), 3);
  EXPECT_EQ(epochs(2.5, 0, 100), 3) << "half an epoch ends with an evaluation, too";
  EXPECT_EQ(epochs(2.001, 0, 100), 2) << "rounds to no step more";
  EXPECT_EQ(epochs(0.001, 0, 100), 1);
  EXPECT_EQ(epochs(2.5, 25, 100), 3) << "2 steps per epoch";
  EXPECT_EQ(LengthOf({.epochs = 2, .images_per_epoch = 5000, .batch = 10}, 100).steps, 200)
      << "an epoch is at most the whole set";
}

TEST(RecipeTest, PresetsAreValid) {
  for (const char* name : {"quick", "small-images", "gpunet"}) {
    const ConfigFile file =
        ConfigFile::LoadToml(fmt::format("{}/configs/recipes/{}.toml", LATHE_SOURCE_DIR, name));
    EXPECT_GT(ReadRecipe(file.root()).epochs, 0) << name;
  }
}

TEST(ScheduleTest, OneCycleRisesAndFallsLinearly) {
  Recipe recipe;
  recipe.schedule = Schedule::kOneCycle;
  recipe.learning_rate = 1;
  recipe.warmup = 0.2;
  const auto rate = [&](int64_t step) { return LearningRate(recipe, step, 100, 10); };
  EXPECT_DOUBLE_EQ(rate(0), 1.0 / 25);
  EXPECT_NEAR(rate(10), 0.04 + 0.96 * 0.5, 1e-12);
  EXPECT_DOUBLE_EQ(rate(20), 1);
  EXPECT_DOUBLE_EQ(rate(60), 0.5);
  EXPECT_NEAR(rate(99), 1.0 / 80, 1e-12);
}

TEST(ScheduleTest, CosineWarmsUpThenFollowsHalfACosine) {
  Recipe recipe;
  recipe.schedule = Schedule::kCosine;
  recipe.learning_rate = 2;
  recipe.warmup = 0.1;
  const auto rate = [&](int64_t step) { return LearningRate(recipe, step, 100, 10); };
  EXPECT_DOUBLE_EQ(rate(0), 2.0 / 11);
  EXPECT_DOUBLE_EQ(rate(9), 20.0 / 11);
  EXPECT_DOUBLE_EQ(rate(10), 2);
  EXPECT_DOUBLE_EQ(rate(40), 1 + std::cos(std::numbers::pi / 3));
}

TEST(ScheduleTest, StepDecaysInStairs) {
  Recipe recipe;
  recipe.schedule = Schedule::kStep;
  recipe.learning_rate = 0.06;
  recipe.warmup = 0;
  recipe.step_epochs = 2.4;
  recipe.step_factor = 0.97;
  const auto rate = [&](int64_t step) { return LearningRate(recipe, step, 1000, 10); };
  EXPECT_DOUBLE_EQ(rate(23), 0.06);
  EXPECT_DOUBLE_EQ(rate(24), 0.06 * 0.97);
  EXPECT_DOUBLE_EQ(rate(48), 0.06 * 0.97 * 0.97);
}

TEST(ScheduleTest, EmaForgetsTheStart) {
  Recipe recipe;
  recipe.ema = 0.9999;
  EXPECT_DOUBLE_EQ(EmaDecay(recipe, 0), 0.1);
  EXPECT_DOUBLE_EQ(EmaDecay(recipe, 90), 0.91);
  EXPECT_DOUBLE_EQ(EmaDecay(recipe, 10'000'000), 0.9999);
}

}  // namespace
}  // namespace lathe::train
