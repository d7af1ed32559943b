#include "study/trial.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <fstream>
#include <limits>

#include "base/error.h"
#include "base/file.h"

namespace lathe::study {
namespace {

using ::testing::HasSubstr;

class TrialFiles : public ::testing::Test {
 protected:
  TrialFiles() { MakeFolder(folder_); }
  ~TrialFiles() override { fs::remove_all(folder_); }

  // The message of what ReadResult() throws; "" if it throws nothing.
  std::string ResultError(const std::string& content) const {
    WriteFileAtomically(folder_ / "result.json", content);
    try {
      ReadResult(folder_, 3);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kInput);
      return error.what();
    }
    return "";
  }

  const fs::path folder_ = fs::temp_directory_path() / fmt::format("lathe-trial-test-{}", getpid());
};

TEST_F(TrialFiles, SpecReadsBackTheSame) {
  WriteSpec(folder_, {.number = 12,
                      .study = "a \"quoted\" name",
                      .kind = "search",
                      .seed = std::numeric_limits<uint64_t>::max(),
                      .threads = 3,
                      .config_toml = "[recipe]\nepochs = 2\n"});
  const TrialSpec spec = ReadSpec(folder_);
  EXPECT_EQ(spec.number, 12);
  EXPECT_EQ(spec.study, "a \"quoted\" name");
  EXPECT_EQ(spec.kind, "search");
  EXPECT_EQ(spec.seed, std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(spec.threads, 3);
  EXPECT_EQ(spec.config_toml, "[recipe]\nepochs = 2\n");
}

TEST_F(TrialFiles, ResultReadsBackTheSame) {
  EXPECT_FALSE(ReadResult(folder_, 3));
  WriteResult(
      folder_,
      {.number = 3, .ok = true, .error = "", .metrics = {{"loss", 0.1}, {"odd", std::nan("")}}});
  const std::optional<TrialResult> result = ReadResult(folder_, 3);
  ASSERT_TRUE(result);
  EXPECT_TRUE(result->ok);
  EXPECT_EQ(result->metrics.at("loss"), 0.1);
  EXPECT_TRUE(std::isnan(result->metrics.at("odd")));
}

TEST_F(TrialFiles, BadResultsAreNamed) {
  const std::string good =
      R"({"format": "lathe-result", "version": 1, "number": 3, "ok": true, "error": "", "metrics": {"loss": 1}})";
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string changed = good;
    return changed.replace(changed.find(from), from.size(), to);
  };
  EXPECT_EQ(ResultError(good), "");
  EXPECT_THAT(ResultError(good.substr(0, 40)), HasSubstr("result.json: damaged"));
  EXPECT_THAT(ResultError(""), HasSubstr("damaged"));
  EXPECT_THAT(ResultError("[1]"), HasSubstr("damaged"));
  EXPECT_THAT(ResultError(with("lathe-result", "other")), HasSubstr("lathe-result"));
  EXPECT_THAT(ResultError(with("\"version\": 1", "\"version\": 2")), HasSubstr("newer"));
  EXPECT_THAT(ResultError(with("\"number\": 3", "\"number\": 4")),
              HasSubstr("trial 4, not of trial 3"));
  EXPECT_THAT(ResultError(with("true", "1")), HasSubstr("ok"));
  EXPECT_THAT(ResultError(with("{\"loss\": 1}", "{\"loss\": \"x\"}")), HasSubstr("metrics"));
  EXPECT_THAT(ResultError(with("{\"loss\": 1}", "7")), HasSubstr("metrics"));
  EXPECT_EQ(ResultError(good + std::string(1 << 20, ' ')), "");
  EXPECT_THAT(ResultError(good + std::string(17 << 20, ' ')), HasSubstr("bytes are more"));
}

TEST_F(TrialFiles, TornMetricsDoNotSpoilTheOthers) {
  EXPECT_TRUE(ReadMetrics(folder_).empty());
  AppendMetrics(folder_, {.step = 1, .values = {{"loss", 0.5}}});
  std::ofstream(folder_ / "metrics.jsonl", std::ios::app) << R"({"step": 2, "lo)";
  ASSERT_EQ(ReadMetrics(folder_).size(), 1u);
  AppendMetrics(folder_, {.step = 2, .values = {{"loss", std::nan("")}}});
  std::ofstream(folder_ / "metrics.jsonl", std::ios::app)
      << R"({"step": 3, "loss": 1})";  // without its end
  const std::vector<MetricLine> lines = ReadMetrics(folder_);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0].step, 1);
  EXPECT_EQ(lines[0].values, (std::map<std::string, double>{{"loss", 0.5}}));
  EXPECT_EQ(lines[1].step, 2);
  EXPECT_TRUE(std::isnan(lines[1].values.at("loss")));
}

TEST_F(TrialFiles, ACrashIsToldInTheTrialsOwnWords) {
  const JobEnd killed{.trial = 3, .crashed = true, .reason = "killed by signal 9 (SIGKILL)"};
  EXPECT_EQ(CrashReason(folder_, killed), killed.reason);
  EXPECT_EQ(CrashReason(folder_, {.trial = 3, .crashed = true}), "ended without a result");
  WriteCrash(folder_, "no module\nnamed 't\xffrch'");
  EXPECT_EQ(CrashReason(folder_, killed), "no module named 't\uFFFDrch'");
  RemoveCrash(folder_);
  EXPECT_EQ(CrashReason(folder_, killed), killed.reason);
}

}  // namespace
}  // namespace lathe::study
