#include "study/proxy.h"

#include <gtest/gtest.h>

#include <cmath>

namespace lathe::study {
namespace {

// Trial i ends at i; after epoch 1 it is where `first` says, after epoch 2 in the order of the end.
struct Curves {
  std::vector<Call> calls;
  std::vector<TrialRecord> trials;

  explicit Curves(const std::vector<double>& first) {
    for (size_t i = 0; i < first.size(); ++i) {
      const auto number = static_cast<int64_t>(i);
      const auto end = static_cast<double>(i);
      calls.push_back({.kind = CallKind::kAsk, .trial = number});
      for (const auto& [step, value] : {std::pair(1, first[i]), {2, end + 0.5}, {3, end}}) {
        calls.push_back({.kind = CallKind::kReport, .trial = number, .step = step, .value = value});
      }
      calls.push_back({.kind = CallKind::kTell, .trial = number, .step = {}, .value = end});
      TrialRecord trial;
      trial.number = number;
      trial.state = TrialState::kComplete;
      trial.value = end;
      trials.push_back(trial);
    }
  }
};

TEST(Proxy, ComparesEveryEpochWithTheEnd) {
  const Curves curves({5, 4, 3, 2, 1, 0});
  const std::map<int, Agreement> epochs = EpochAgreements(curves.calls, curves.trials);
  ASSERT_EQ(epochs.size(), 2u) << "the last epoch is the end";
  EXPECT_DOUBLE_EQ(epochs.at(1).spearman.value(), -1);
  EXPECT_DOUBLE_EQ(epochs.at(2).spearman.value(), 1);
  EXPECT_EQ(epochs.at(1).networks, 6u);
}

TEST(Proxy, CountsOnlyWhatWasTrainedToTheEnd) {
  Curves curves({0, 1, 2, 3, 4, 5, 6, 7, std::nan("")});
  curves.trials[5].state = TrialState::kPruned;
  curves.trials[6].state = TrialState::kFail;
  curves.trials[7].imported_from = "elsewhere";
  const std::map<int, Agreement> epochs = EpochAgreements(curves.calls, curves.trials);
  EXPECT_EQ(epochs.at(1).networks, 5u);
  EXPECT_EQ(epochs.at(2).networks, 6u);
}

TEST(Proxy, SaysNothingOfTooFewOrEqualOnes) {
  const Curves few({0, 1, 2, 3});
  const std::map<int, Agreement> epochs = EpochAgreements(few.calls, few.trials);
  EXPECT_EQ(epochs.at(1).networks, 4u);
  EXPECT_FALSE(epochs.at(1).spearman);
  EXPECT_FALSE(AgreementOf({1, 1, 1, 1, 1}, {1, 2, 3, 4, 5}).spearman);
  EXPECT_TRUE(EpochAgreements({}, {}).empty());
}

}  // namespace
}  // namespace lathe::study
