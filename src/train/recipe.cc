#include "train/recipe.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.h"
#include "base/quote.h"

namespace lathe::train {
namespace {

constexpr std::array<std::string_view, 3> kOptimizers{"sgd", "adamw", "rmsprop-tf"};
constexpr std::array<std::string_view, 3> kSchedules{"cosine", "step", "one-cycle"};
constexpr std::array<std::string_view, 3> kPrecisions{"f32", "bf16", "f16"};
constexpr std::array<std::string_view, 2> kKeeps{"last", "best"};
constexpr std::array<std::string_view, 2> kDistillations{"soft", "hard"};

// Names are in the order of the enumerators.
template <typename Enum, size_t kCount>
Enum ReadEnum(const Config& table, std::string_view key,
              const std::array<std::string_view, kCount>& names, Enum fallback) {
  const std::string name =
      table.Choice(key, names, std::string(names[static_cast<size_t>(fallback)]));
  return static_cast<Enum>(std::find(names.begin(), names.end(), name) - names.begin());
}

Distillation ReadDistillation(const Config& table) {
  Distillation distillation;
  distillation.teacher = table.Path("teacher", "");
  distillation.weights = table.Path("weights", "");
  distillation.kind = ReadEnum(table, "kind", kDistillations, distillation.kind);
  distillation.weight = table.Real("weight", {.fallback = distillation.weight, .min = 0, .max = 1});
  distillation.temperature =
      table.Real("temperature", {.fallback = distillation.temperature, .min = 0.01, .max = 1000});
  table.Finish();
  return distillation;
}

template <size_t kCount, typename Enum>
std::string_view NameOf(const std::array<std::string_view, kCount>& names, Enum value) {
  return names[static_cast<size_t>(value)];
}

}  // namespace

Length LengthOf(const Recipe& recipe, int64_t batches) {
  Length length{.steps_per_epoch = std::max<int64_t>(1, batches)};
  if (recipe.images_per_epoch > 0) {
    length.steps_per_epoch =
        std::clamp<int64_t>(recipe.images_per_epoch / recipe.batch, 1, length.steps_per_epoch);
  }
  length.steps = std::max<int64_t>(
      1, std::llround(recipe.epochs * static_cast<double>(length.steps_per_epoch)));
  return length;
}

double WorkOf(const Recipe& recipe, int64_t train_images, int64_t evaluated) {
  const Length length = LengthOf(recipe, train_images / recipe.batch);
  return static_cast<double>(length.steps) * recipe.batch +
         kEvaluationWork * static_cast<double>(length.epochs() * evaluated);
}

Recipe ReadRecipe(const Config& table) {
  constexpr std::array<std::string_view, 1> kFormats{"lathe-recipe"};
  Recipe recipe;
  table.Choice("format", kFormats, std::string(kFormats[0]));  // of a file of its own
  table.Int("version", {.fallback = 1, .min = 1, .max = 1});
  const auto share = [&](std::string_view key, double fallback, double max) {
    return table.Real(key, {.fallback = fallback, .min = 0, .max = max});
  };
  recipe.epochs = table.Real("epochs", {.fallback = recipe.epochs, .min = 1e-4, .max = 1e5});
  recipe.images_per_epoch =
      table.Int("images_per_epoch", {.fallback = recipe.images_per_epoch, .min = 0});
  recipe.batch =
      static_cast<int>(table.Int("batch", {.fallback = recipe.batch, .min = 1, .max = 65536}));
  recipe.optimizer = ReadEnum(table, "optimizer", kOptimizers, recipe.optimizer);
  recipe.learning_rate =
      table.Real("learning_rate", {.fallback = recipe.learning_rate, .min = 0, .max = 1e3});
  recipe.momentum = share("momentum", recipe.momentum, 0.9999);
  recipe.weight_decay = share("weight_decay", recipe.weight_decay, 10);
  recipe.schedule = ReadEnum(table, "schedule", kSchedules, recipe.schedule);
  recipe.warmup = share("warmup", recipe.warmup, 0.99);
  recipe.warmup_start = share("warmup_start", recipe.warmup_start, 1e3);
  recipe.step_epochs = table.Real("step_epochs", {.fallback = recipe.step_epochs, .min = 1e-3});
  recipe.step_factor =
      table.Real("step_factor", {.fallback = recipe.step_factor, .min = 1e-3, .max = 1});
  recipe.label_smoothing = share("label_smoothing", recipe.label_smoothing, 0.9);
  recipe.dropout = share("dropout", recipe.dropout, 0.9);
  recipe.drop_connect = share("drop_connect", recipe.drop_connect, 0.9);
  recipe.ema = share("ema", recipe.ema, 0.999999);
  recipe.clip_norm = share("clip_norm", recipe.clip_norm, 1e6);
  recipe.accumulate = static_cast<int>(
      table.Int("accumulate", {.fallback = recipe.accumulate, .min = 1, .max = recipe.batch}));
  recipe.lanes =
      static_cast<int>(table.Int("lanes", {.fallback = recipe.lanes, .min = 0, .max = 1024}));
  recipe.precision = ReadEnum(table, "precision", kPrecisions, recipe.precision);
  recipe.sync_norm = table.Bool("sync_norm", recipe.sync_norm);
  recipe.early_stop = static_cast<int>(
      table.Int("early_stop", {.fallback = recipe.early_stop, .min = 0, .max = 1'000'000}));
  recipe.keep = ReadEnum(table, "keep", kKeeps, recipe.early_stop > 0 ? Keep::kBest : recipe.keep);
  recipe.evaluation_crop =
      table.Real("evaluation_crop", {.fallback = recipe.evaluation_crop, .min = 0.01, .max = 1});
  recipe.distillation = ReadDistillation(table.Table("distillation"));
  recipe.augmentation = data::ReadAugmentation(table.Table("augmentation"));
  table.Finish();
  return recipe;
}

std::string ToToml(const Recipe& recipe) {
  std::string text;
  const auto add = [&](std::string_view key, const auto& value) {
    text += fmt::format("{} = {}\n", key, value);
  };
  const auto add_name = [&](std::string_view key, std::string_view name) {
    text += fmt::format("{} = \"{}\"\n", key, name);
  };
  add("epochs", recipe.epochs);
  add("images_per_epoch", recipe.images_per_epoch);
  add("batch", recipe.batch);
  add("accumulate", recipe.accumulate);
  if (recipe.lanes > 0) add("lanes", recipe.lanes);
  add_name("optimizer", NameOf(kOptimizers, recipe.optimizer));
  add("learning_rate", recipe.learning_rate);
  add("momentum", recipe.momentum);
  add("weight_decay", recipe.weight_decay);
  add_name("schedule", NameOf(kSchedules, recipe.schedule));
  add("warmup", recipe.warmup);
  add("warmup_start", recipe.warmup_start);
  add("step_epochs", recipe.step_epochs);
  add("step_factor", recipe.step_factor);
  add("label_smoothing", recipe.label_smoothing);
  add("dropout", recipe.dropout);
  add("drop_connect", recipe.drop_connect);
  add("ema", recipe.ema);
  add("clip_norm", recipe.clip_norm);
  add_name("precision", NameOf(kPrecisions, recipe.precision));
  add("sync_norm", recipe.sync_norm);
  add("early_stop", recipe.early_stop);
  add_name("keep", NameOf(kKeeps, recipe.keep));
  add("evaluation_crop", recipe.evaluation_crop);
  // Tables are inline, so that the text can stand in any table.
  const Distillation& distillation = recipe.distillation;
  if (!distillation.teacher.empty()) {
    text += fmt::format(
        "distillation = {{ teacher = {}, weights = {}, kind = \"{}\", weight = {}, temperature = "
        "{} "
        "}}\n",
        TomlQuoted(distillation.teacher), TomlQuoted(distillation.weights),
        NameOf(kDistillations, distillation.kind), distillation.weight, distillation.temperature);
  }
  text += fmt::format("augmentation = {}\n", data::ToToml(recipe.augmentation));
  return text;
}

}  // namespace lathe::train
