#include "study/warm_start.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>

#include "base/file.h"
#include "base/temp_folder_testing.h"
#include "net/network_file.h"

namespace lathe::study {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

constexpr char kSpace[] = R"(
format = "lathe-space"
version = 1
resolution = 32
[tail]
width = 8
[[stage]]
op = "conv"
stride = 2
filters = [8, 16]
kernel = [3, 5]
activation = ["relu", "swish"]
layers = [1, 2]
)";

class WarmStartTest : public ::testing::Test {
 protected:
  WarmStartTest() { MakeFolder(folder_); }
  ~WarmStartTest() override { fs::remove_all(folder_); }

  StudyConfig Config(const std::string& more = "") const {
    const fs::path file = folder_ / "study.toml";
    WriteFileAtomically(file,
                        "[study]\nname = \"a\"\n[data]\nkind = \"idx\"\npath = \"data\"\n"
                        "[space]\nfile = \"space.toml\"\n[target]\nlatency_ms = 1\n" +
                            more);
    return LoadStudy(file);
  }

  // An earlier study with three complete trials and one that failed.
  fs::path Earlier(const StudyConfig& config) const {
    const fs::path folder = folder_ / "earlier";
    MakeFolder(folder);
    WriteFileAtomically(folder / "study.toml", config.resolved_toml);
    std::vector<Parameter> parameters;
    for (const space::Gene& gene : space_.genes()) {
      parameters.push_back({gene.name, gene.choices, gene.ordinal});
    }
    Store store(folder / "study.db", "a", parameters);
    for (int number = 0; number < 4; ++number) {
      TrialRecord trial;
      trial.number = number;
      trial.encoding = {number % 2 == 0 ? 8 : 16, number < 2 ? 3 : 5, kSwish, 2};
      trial.latency_us = 999;  // by another table
      store.Create(trial);
      trial.state = number == 3 ? TrialState::kFail : TrialState::kComplete;
      trial.metrics = {{"loss", 0.5 - 0.1 * number}, {"accuracy", 0.75}};
      if (number != 3) trial.value = 7;
      store.Finish(trial);
    }
    return folder;
  }

  static WarmStartOptions Options() {
    return {.objective = {.weights = {.alpha = 1, .beta = 1}},
            .best = 2,
            .describe =
                [](const std::vector<int>& encoding) {
                  return search::Candidate{.encoding = encoding,
                                           .features = {},
                                           .latency_us = 10.0 * encoding[0] + encoding[1]};
                },
            .in_subspace = [](const std::vector<int>&) { return true; }};
  }

  std::string ErrorOf(const fs::path& source, const StudyConfig& config) const {
    return MessageOf(ErrorKind::kInput, [&] { ReadEarlier(source, config, space_); });
  }

  static constexpr int kSwish = 3;
  const space::SearchSpace space_ = space::SearchSpace::Parse(kSpace, "space.toml");
  const fs::path folder_ =
      fs::temp_directory_path() / fmt::format("lathe-warm-start-test-{}", getpid());
};

TEST_F(WarmStartTest, TakesTheResultsOfTheSameTraining) {
  const StudyConfig config = Config();
  const EarlierResults earlier = ReadEarlier(Earlier(config), config, space_);
  EXPECT_EQ(earlier.difference, "");
  ASSERT_EQ(earlier.trials.size(), 3u) << "failed ones have no result";
  const WarmStart plan = PlanWarmStart({earlier, earlier}, {{16, 3, kSwish, 2}}, Options());
  ASSERT_EQ(plan.imported.size(), 2u) << "one is known, and none comes twice";
  EXPECT_THAT(plan.imported[1].encoding, ElementsAre(8, 5, kSwish, 2));
  EXPECT_THAT(plan.imported[1].origin, StartsWith("trial 2 of "));
  EXPECT_THAT(plan.queue, IsEmpty());
  EXPECT_THAT(plan.notes[0], HasSubstr("2 results imported; left out: 1 known already"));
  EXPECT_THAT(plan.notes[1], HasSubstr("0 results imported; left out: 3 known already"));
  // Weighed anew: the objective and the latency are this study's.
  const TrialRecord record = ImportedTrial(5, plan.imported[1], {.objective = Options().objective},
                                           {.candidate = Options().describe});
  EXPECT_EQ(record.number, 5);
  EXPECT_EQ(record.latency_us, 85);
  EXPECT_DOUBLE_EQ(record.value.value(), 0.3 + 0.085);
  EXPECT_EQ(record.metrics.at("accuracy"), 0.75);
}

TEST_F(WarmStartTest, OnlyNetworksOfTheSubspace) {
  const StudyConfig config = Config();
  WarmStartOptions options = Options();
  options.in_subspace = [](const std::vector<int>& encoding) { return encoding[1] == 3; };
  const WarmStart plan = PlanWarmStart({ReadEarlier(Earlier(config), config, space_)}, {}, options);
  EXPECT_EQ(plan.imported.size(), 2u);
  EXPECT_THAT(plan.notes[0], HasSubstr("left out: 1 outside the sub-space"));
}

TEST_F(WarmStartTest, TrainsTheBestOfAnotherTrainingAgain) {
  const fs::path folder = Earlier(Config());
  for (const std::string other : {"[trial]\nbatch = 64\n", "[trial]\nepochs = 7\n"}) {
    const StudyConfig config = Config(other);
    const EarlierResults earlier = ReadEarlier(folder, config, space_);
    EXPECT_THAT(earlier.difference, HasSubstr("[trial] "));
    EXPECT_THAT(earlier.difference, HasSubstr(" here"));
    const WarmStart plan = PlanWarmStart({earlier}, {}, Options());
    EXPECT_THAT(plan.imported, IsEmpty());
    EXPECT_THAT(plan.queue,
                ElementsAre(ElementsAre(8, 5, kSwish, 2), ElementsAre(16, 3, kSwish, 2)))
        << "best objective first: 0.3 + 0.085, then 0.4 + 0.163";
    EXPECT_THAT(plan.notes[0], HasSubstr("cannot be compared"));
    EXPECT_THAT(plan.notes[0], HasSubstr("best 2 networks"));
  }
  StudyConfig config = Config();
  config.data.validation = 0.25;
  EXPECT_THAT(ReadEarlier(folder, config, space_).difference, HasSubstr("[data] validation"));
  config = Config();
  config.evaluator.command = {"train"};
  EXPECT_THAT(ReadEarlier(folder, config, space_).difference, HasSubstr("[evaluator] kind"));
}

TEST_F(WarmStartTest, ReadsATable) {
  const fs::path file = folder_ / "results.csv";
  WriteFileAtomically(file,
                      "note,loss,accuracy,stage0.filters,stage0.kernel,stage0.activation,"
                      "stage0.layers\n\"a, b\",0.5,0.9,8,3,swish,1\n,0.25,,16,5,1,2\n"
                      ",0.1,0.9,12,3,relu,1\n,nan,0.9,16,3,relu,1\n");
  const EarlierResults earlier = ReadEarlier(file, Config(), space_);
  ASSERT_EQ(earlier.trials.size(), 3u);
  EXPECT_THAT(earlier.trials[0].encoding, ElementsAre(8, 3, kSwish, 1));
  EXPECT_THAT(earlier.trials[1].encoding, ElementsAre(16, 5, 1, 2));
  EXPECT_FALSE(earlier.trials[1].metrics.contains("accuracy"));
  EXPECT_THAT(earlier.trials[1].origin, HasSubstr("results.csv:3"));
  EXPECT_EQ(earlier.outside, 1u);
  EXPECT_THAT(earlier.first_outside, HasSubstr("results.csv:4: stage0.filters: '12'"));
  const WarmStart plan = PlanWarmStart({earlier}, {}, Options());
  EXPECT_EQ(plan.imported.size(), 2u);
  EXPECT_THAT(plan.notes[0], HasSubstr("1 outside the space, 1 without a result"));
}

TEST_F(WarmStartTest, NamesWhatItCannotUse) {
  const StudyConfig config = Config();
  EXPECT_THAT(ErrorOf(folder_ / "none", config), HasSubstr("neither the folder of a study"));
  const fs::path file = folder_ / "results.csv";
  WriteFileAtomically(file, "los,stage0.filters\n1,8\n");
  EXPECT_THAT(ErrorOf(file, config), HasSubstr("no column 'loss', did you mean 'los'"));
  EXPECT_THAT(ErrorOf(file, Config("[search]\ngoal = \"accuracy\"\n")), HasSubstr("'accuracy'"));
  WriteFileAtomically(file, "loss,stage0.filters\n1,8\n");
  EXPECT_THAT(ErrorOf(file, config), HasSubstr("no column 'stage0.kernel'"));
  WriteFileAtomically(
      file, "loss,stage0.filters,stage0.kernel,stage0.activation,stage0.layers\n1,8,4,relu,1\n");
  EXPECT_THAT(ErrorOf(file, config), HasSubstr("none of its 1 results is of space"));

  const fs::path folder = Earlier(config);
  const net::Network network = space_.Decode(std::vector{8, 3, kSwish, 1}, {});
  WriteFileAtomically(folder / "trials/000000/network.json", net::ToJson(network));
  EXPECT_THAT(ErrorOf(folder, config), HasSubstr("trial 0 is another network"));
  fs::remove_all(folder);
  MakeFolder(folder);
  WriteFileAtomically(folder / "study.toml", config.resolved_toml);
  { const Store empty(folder / "study.db", "a", {{"stage9.kernel", {3}, true}}); }
  EXPECT_THAT(ErrorOf(folder, config),
              HasSubstr("another space: its gene 1 is stage9.kernel, here stage0.filters"));
}

}  // namespace
}  // namespace lathe::study
