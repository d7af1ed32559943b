#include "study/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"

namespace lathe::study {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// The smallest study, and lines to add to it.
constexpr char kSmall[] = R"([study]
name = "small"
[data]
kind = "fashion-mnist"
[space]
file = "space.toml"
[target]
latency_ms = 2
)";

class StudyFile : public ::testing::Test {
 protected:
  StudyFile() {
    MakeFolder(folder_ / "studies");
    WriteFileAtomically(folder_ / "recipes/quick.toml",
                        "format = \"lathe-recipe\"\nversion = 1\nepochs = 3\nbatch = "
                        "64\naugmentation.flip = true\n");
  }
  ~StudyFile() override { fs::remove_all(folder_); }

  StudyConfig Load(const std::string& text, const std::vector<std::string>& overrides = {}) const {
    WriteFileAtomically(path_, text);
    return LoadStudy(path_, overrides);
  }
  std::string ErrorOf(const std::string& text,
                      const std::vector<std::string>& overrides = {}) const {
    try {
      Load(text, overrides);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kInput);
      return error.what();
    }
    return "";
  }

  const fs::path folder_ =
      fs::temp_directory_path() / fmt::format("lathe-config-test-{}", getpid());
  const fs::path path_ = folder_ / "studies/study.toml";
};

TEST_F(StudyFile, DefaultsFollowFromTheBudget) {
  const StudyConfig config = Load(kSmall);
  EXPECT_EQ(config.name, "small");
  EXPECT_EQ(config.target.latency_us, 2000);
  EXPECT_EQ(config.space_file, folder_ / "studies/space.toml");
  EXPECT_THAT(config.edges_us, ElementsAre(500, 1000, 1500, 2000));
  EXPECT_EQ(config.subspace_low_us, 1000);
  EXPECT_EQ(config.subspace_high_us, 2000);
  EXPECT_EQ(config.proposer, "bayes");
  EXPECT_TRUE(config.restrict.empty());
  EXPECT_TRUE(config.baselines.empty());
  EXPECT_EQ(config.max_seconds, 0);
}

constexpr char kFull[] = R"([study]
name = "full"
seed = 7
[data]
kind = "idx"
path = "../images"
validation = 500
[space]
file = "/spaces/a.toml"
[space.restrict]
resolution = [28, 32]
"stage1.kernel" = 3
stage2.layers = [1, 2]
[target]
engine = "torch"
device = "GPU"
threads = 2
batch = 8
precision = "bf16"
latency_ms = 0.3
accuracy = 0.9
[latency]
build_seconds = 12.5
file = "lut.json"
[stage1]
points = 100
edges_ms = [0.1, 0.2]
subspace_ms = [0.05, 0.25]
[search]
proposer = "random"
trials = 5
max_minutes = 1.5
max_retries = 4
alpha = 0.25
beta = 2
enqueue = ["gpunet_0", "a.json", "28,16,3"]
warm_start = ["../runs/a", "/b.csv"]
warm_start_best = 3
[pruning]
rule = "median"
first_epoch = 2
reduction = 4
startup = 2
[trial]
recipe = "quick"
epochs = 8.5
augmentation.pad_crop = 2
[finalists]
count = 3
recipe = "../recipes/quick.toml"
[baselines]
networks = ["mobilenet_v2"]
[executor]
kind = "local"
slots = 3
threads_per_slot = 2
)";

void ExpectFull(const StudyConfig& config, const fs::path& folder) {
  EXPECT_EQ(config.seed, 7u);
  EXPECT_EQ(config.data.path, folder / "images");
  EXPECT_EQ(config.data.validation, 500);
  EXPECT_EQ(config.space_file, "/spaces/a.toml");
  EXPECT_THAT(config.restrict,
              (std::map<std::string, std::vector<int>>{
                  {"resolution", {28, 32}}, {"stage1.kernel", {3}}, {"stage2.layers", {1, 2}}}));
  EXPECT_EQ(config.target.engine, "torch");
  EXPECT_EQ(config.target.options.device, "GPU");
  EXPECT_EQ(config.target.options.threads, 2);
  EXPECT_EQ(config.target.options.batch, 8);
  EXPECT_EQ(config.target.options.precision, engine::Precision::kBf16);
  EXPECT_DOUBLE_EQ(config.target.latency_us, 300);
  EXPECT_EQ(config.target.accuracy, 0.9);
  EXPECT_EQ(config.lut_seconds, 12.5);
  EXPECT_EQ(config.lut_file, folder / "studies/lut.json");
  EXPECT_EQ(config.stage1_points, 100);
  EXPECT_THAT(config.edges_us, ElementsAre(100, 200));
  EXPECT_EQ(config.subspace_low_us, 50);
  EXPECT_EQ(config.subspace_high_us, 250);
  EXPECT_EQ(config.proposer, "random");
  EXPECT_EQ(config.trials, 5);
  EXPECT_EQ(config.max_seconds, 90);
  EXPECT_EQ(config.max_retries, 4);
  EXPECT_EQ(config.objective.weights.alpha, 0.25);
  EXPECT_EQ(config.objective.weights.beta, 2);
  EXPECT_THAT(config.enqueue,
              ElementsAre("gpunet_0", (folder / "studies/a.json").string(), "28,16,3"));
  EXPECT_THAT(config.warm_start, ElementsAre(folder / "runs/a", "/b.csv"));
  EXPECT_EQ(config.warm_start_best, 3);
  EXPECT_EQ(config.pruning.rule, "median");
  EXPECT_EQ(config.pruning.first_step, 2);
  EXPECT_EQ(config.pruning.reduction, 4);
  EXPECT_EQ(config.pruning.startup, 2);
  EXPECT_EQ(config.trial_recipe.epochs, 8.5) << "the study's own key wins";
  EXPECT_EQ(config.trial_recipe.batch, 64);
  EXPECT_TRUE(config.trial_recipe.augmentation.flip) << "tables inside are merged";
  EXPECT_EQ(config.trial_recipe.augmentation.pad_crop, 2);
  EXPECT_EQ(config.finalists, 3);
  EXPECT_EQ(config.finalist_recipe.epochs, 3);
  EXPECT_THAT(config.baselines, ElementsAre("mobilenet_v2"));
  EXPECT_EQ(config.slots, 3);
  EXPECT_EQ(config.threads_per_slot, 2);
}

TEST_F(StudyFile, ReadsEveryKey) { ExpectFull(Load(kFull), folder_); }

TEST_F(StudyFile, TheResolvedFileReadsBackTheSameAnywhere) {
  const std::string resolved = Load(kFull).resolved_toml;
  const fs::path elsewhere = folder_ / "runs/full/study.toml";
  WriteFileAtomically(elsewhere, resolved);
  const fs::path recipes = folder_ / "recipes";
  fs::remove_all(recipes);  // it needs nothing but itself
  const StudyConfig again = LoadStudy(elsewhere);
  ExpectFull(again, folder_);
  const auto without_source = [](const std::string& text) { return text.substr(text.find('\n')); };
  EXPECT_EQ(without_source(again.resolved_toml), without_source(resolved));
}

TEST_F(StudyFile, OtherGoalsReadBackTheSame) {
  for (const std::string goal : {"accuracy", "front"}) {
    const StudyConfig config = Load(std::string(kSmall) + "[search]\ngoal = \"" + goal + "\"\n");
    WriteFileAtomically(folder_ / "again.toml", config.resolved_toml);
    const StudyConfig again = LoadStudy(folder_ / "again.toml");
    EXPECT_EQ(Name(again.objective.aim), goal);
    EXPECT_EQ(again.objective.formula().alpha, 0);
    EXPECT_EQ(again.pruning.goal, again.objective.goal());
    EXPECT_EQ(again.objective.goal() == search::Goal::kFront, goal == "front");
  }
}

TEST_F(StudyFile, OverridesComeOnTop) {
  const StudyConfig config =
      Load(kFull, {"search.trials=9", "trial.epochs=2.25", "target.latency_ms=0.5"});
  EXPECT_EQ(config.trials, 9);
  EXPECT_EQ(config.trial_recipe.epochs, 2.25);
  EXPECT_EQ(config.target.latency_us, 500);
  EXPECT_THAT(ErrorOf(kSmall, {"search.trials=0"}), HasSubstr("trials"));
}

struct Mistake {
  std::string name;
  std::string lines;                  // appended to kSmall, which has 8 lines
  std::vector<std::string> expected;  // parts of the message
};

void PrintTo(const Mistake& mistake, std::ostream* out) { *out << mistake.name; }

class Mistakes : public StudyFile, public ::testing::WithParamInterface<Mistake> {};

TEST_P(Mistakes, AreNamedWithTheirLine) {
  const std::string message = ErrorOf(kSmall + GetParam().lines);
  for (const std::string& part : GetParam().expected) EXPECT_THAT(message, HasSubstr(part));
}

INSTANTIATE_TEST_SUITE_P(
    StudyFile, Mistakes,
    ::testing::Values(
        Mistake{"UnknownTable", "[serach]\n", {"study.toml:9", "did you mean 'search'"}},
        Mistake{"UnknownKey",
                "[search]\ntrails = 3\n",
                {"study.toml:10", "[search]", "did you mean 'trials'"}},
        Mistake{"UnknownRecipeKey",
                "[trial]\nepoch = 3\n",
                {"study.toml:10", "[trial]", "did you mean 'epochs'"}},
        Mistake{"UnknownRecipe",
                "[trial]\nrecipe = \"quik\"\n",
                {"study.toml:10", "did you mean 'quick'"}},
        Mistake{"MissingRecipeFile",
                "[trial]\nrecipe = \"a/b.toml\"\n",
                {"study.toml:10", "studies/a/b.toml"}},
        Mistake{"RecipeRange",
                "[finalists]\nrecipe = \"quick\"\nbatch = 0\n",
                {"study.toml:11", "batch", "1 to 65536"}},
        Mistake{"Proposer",
                "[search]\nproposer = \"bayse\"\n",
                {"study.toml:10", "did you mean 'bayes'"}},
        Mistake{
            "Executor", "[executor]\nkind = \"loca\"\n", {"study.toml:10", "did you mean 'local'"}},
        Mistake{"Precision", "precision = \"fp32\"\n", {"study.toml:9", "f32"}},
        Mistake{"Accuracy", "accuracy = 91\n", {"study.toml:9", "accuracy", "0 to 1"}},
        Mistake{"Edges",
                "[stage1]\nedges_ms = [0.2, 0.1]\n",
                {"study.toml:10", "edges_ms: must ascend"}},
        Mistake{"Subspace",
                "[stage1]\nsubspace_ms = [0.2]\n",
                {"study.toml:10", "subspace_ms", "two latencies"}},
        Mistake{"SubspaceOrder",
                "[stage1]\nsubspace_ms = [0.2, 0.1]\n",
                {"study.toml:10", "the lower one first"}},
        Mistake{
            "Goal", "[search]\ngoal = \"acuracy\"\n", {"study.toml:10", "did you mean 'accuracy'"}},
        Mistake{"WeightWithoutUse",
                "[search]\ngoal = \"front\"\nbeta = 1\n",
                {"study.toml:11", "[search] beta", "goal = \"front\"", "leave it out"}},
        Mistake{"PruningRule",
                "[pruning]\nrule = \"halvin\"\n",
                {"study.toml:10", "did you mean 'halving'"}},
        Mistake{"PruningTooLate",
                "[trial]\nepochs = 2\n[pruning]\nrule = \"halving\"\nfirst_epoch = 2\n",
                {"study.toml:13", "[pruning] first_epoch", "trained for 2 epochs"}},
        Mistake{"PruningOfShortTrials",
                "[trial]\nepochs = 1\n[pruning]\nrule = \"halving\"\n",
                {"study.toml:12", "[pruning] rule", "trained for 1 epochs"}},
        Mistake{"Restrict",
                "[space.restrict]\nresolution = []\n",
                {"study.toml:10", "resolution", "allows nothing"}},
        Mistake{"RestrictType",
                "[space.restrict]\nresolution = \"a\"\n",
                {"study.toml:10", "resolution"}},
        Mistake{"NotANumber", "[search]\nalpha = nan\n", {"study.toml:10", "alpha"}}),
    [](const auto& param) { return param.param.name; });

TEST_F(StudyFile, RequiredKeysAreNamed) {
  EXPECT_THAT(ErrorOf("[study]\nname = \"a\"\n"), HasSubstr("kind"));
  EXPECT_THAT(ErrorOf("[study]\nname = \"a/b\"\n"), HasSubstr("study.toml:2"));
  std::string no_budget = kSmall;
  no_budget.erase(no_budget.find("latency_ms"));
  EXPECT_THAT(ErrorOf(no_budget), HasSubstr("latency_ms"));
  EXPECT_THAT(ErrorOf(std::string("version = 2\n") + kSmall), HasSubstr("newer"));
}

TEST_F(StudyFile, AMistakeInARecipeNamesTheRecipe) {
  WriteFileAtomically(folder_ / "recipes/quick.toml", "\nepochs = -1\n");
  EXPECT_THAT(ErrorOf(std::string(kSmall) + "[trial]\nrecipe = \"quick\"\n"),
              HasSubstr("recipes/quick.toml:2"));
}

TEST(ShippedStudies, Load) {
  int count = 0;
  for (const fs::directory_entry& entry :
       fs::directory_iterator(fs::path(LATHE_SOURCE_DIR) / "configs/studies")) {
    const StudyConfig config = LoadStudy(entry.path());
    EXPECT_TRUE(fs::exists(config.space_file)) << config.space_file;
    ++count;
  }
  EXPECT_GT(count, 0);
}

}  // namespace
}  // namespace lathe::study
