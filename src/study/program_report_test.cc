#include "study/program_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "base/file.h"
#include "base/temp_folder_testing.h"

namespace lathe::study {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class Reports : public ::testing::Test {
 protected:
  void Append(const std::string& text) const { std::ofstream(file_, std::ios::app) << text; }
  std::vector<int> Steps() {
    std::vector<int> steps;
    for (const MetricLine& line : reader_.Read()) steps.push_back(line.step);
    return steps;
  }

  const TempFolder folder_;
  const fs::path file_ = folder_ / "metrics.jsonl";
  ReportReader reader_{file_};
};

TEST_F(Reports, ComeOnceAndWhole) {
  EXPECT_THAT(Steps(), IsEmpty());
  Append("{\"step\": 1, \"loss\": 0.5}\n{\"step\": 2, \"lo");
  const std::vector<MetricLine> first = reader_.Read();
  ASSERT_EQ(first.size(), 1u);
  EXPECT_EQ(first[0].step, 1);
  EXPECT_EQ(first[0].values, (std::map<std::string, double>{{"loss", 0.5}}));
  EXPECT_THAT(Steps(), IsEmpty());
  Append("ss\": 0.25}\n");
  const std::vector<MetricLine> second = reader_.Read();
  ASSERT_EQ(second.size(), 1u);
  EXPECT_EQ(second[0].values.at("loss"), 0.25);
  EXPECT_THAT(Steps(), IsEmpty());
}

TEST_F(Reports, StepsOfARestartAreNotRepeated) {
  Append("{\"step\": 1}\n{\"step\": 2}\n{\"step\": 2}\n{\"step\": 1}\n{\"step\": 3}\n");
  EXPECT_THAT(Steps(), ElementsAre(1, 2, 3));
}

TEST_F(Reports, AFileBegunAnewIsReadAnew) {
  Append("{\"step\": 1, \"loss\": 0.123456789}\n");
  EXPECT_THAT(Steps(), ElementsAre(1));
  std::ofstream(file_) << "{\"step\": 2}\n";
  EXPECT_THAT(Steps(), ElementsAre(2));
}

TEST_F(Reports, NansOfPythonAreRead) {
  Append("{\"step\": 1, \"loss\": NaN, \"top\": -Infinity, \"\\\\ Infinity\": 1}\n");
  const std::vector<MetricLine> lines = reader_.Read();
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_TRUE(std::isnan(lines[0].values.at("loss")));
  EXPECT_TRUE(std::isnan(lines[0].values.at("top")));
  EXPECT_EQ(lines[0].values.at("\\ Infinity"), 1);
}

TEST_F(Reports, LinesThatAreNoneArePassedOver) {
  for (const char* line :
       {"", "epoch 1 done", "[1]", "{}", "{\"loss\": 1}", "{\"step\": 1.5}", "{\"step\": -1}",
        "{\"step\": true}", "{\"step\": \"2\"}", "{\"step\": 99999999999}",
        "{\"step\": 1, \"loss\": \"low\"}", "{\"step\": 1, \"loss\": true}",
        "{\"step\": 1, \"accuracy\": 78}", "{\"step\": 1, \"a,b\": 1}", "{\"step\": 1, \"\": 1}",
        "{\"step\": 1} {\"step\": 2}"}) {
    Append(std::string(line) + "\n");
  }
  Append("{\"step\": 7}\n");
  EXPECT_THAT(Steps(), ElementsAre(7));
}

TEST_F(Reports, WhatIsNoLogOfATrainingIsRefused) {
  Append(std::string(100'000, 'x'));
  ExpectError(ErrorKind::kInput, "metrics.jsonl:1: a line of more than", [&] { reader_.Read(); });
  std::string many;
  for (int i = 0; i < 10'001; ++i) many += fmt::format("{{\"step\": {}}}\n", i);
  std::ofstream(file_) << many;
  ExpectError(ErrorKind::kInput, "report once per epoch", [&] { ReportReader(file_).Read(); });
  fs::remove(file_);
  ASSERT_EQ(mkfifo(file_.c_str(), 0600), 0);
  ExpectError(ErrorKind::kInput, "not a regular file", [&] { ReportReader(file_).Read(); });
  ExpectError(ErrorKind::kInput, "not a regular file", [&] { CutTornLine(file_); });
}

TEST_F(Reports, TornLinesAreCutOff) {
  CutTornLine(file_);  // there is none
  for (const auto& [before, after] : std::map<std::string, std::string>{
           {"", ""}, {"torn", ""}, {"a\n", "a\n"}, {"a\nb\nto", "a\nb\n"}}) {
    WriteFileAtomically(file_, before);
    CutTornLine(file_);
    EXPECT_EQ(ReadFile(file_), after);
  }
}

class Results : public ::testing::Test {
 protected:
  TrialResult Read(const std::string& content) const {
    WriteFileAtomically(file_, content);
    return ReadProgramResult(file_, 7);
  }
  std::string Problem(const std::string& content) const {
    const TrialResult result = Read(content);
    EXPECT_FALSE(result.ok) << content;
    EXPECT_THAT(result.metrics, IsEmpty());
    return result.error;
  }

  const TempFolder folder_;
  const fs::path file_ = folder_ / "result.json";
};

TEST_F(Results, AreNumbers) {
  const TrialResult result = Read("{\"accuracy\": 0.5, \"loss\": 1, \"f1\": 0.25}");
  EXPECT_TRUE(result.ok) << result.error;
  EXPECT_EQ(result.number, 7);
  EXPECT_EQ(result.metrics,
            (std::map<std::string, double>{{"accuracy", 0.5}, {"loss", 1}, {"f1", 0.25}}));
}

TEST_F(Results, OrSayWhyThereAreNone) {
  EXPECT_EQ(Problem("{\"error\": \"diverged\\nat step 3\", \"accuracy\": 1}"),
            "diverged at step 3");
  EXPECT_EQ(Problem(R"({"error": "\" NaN"})"), "\" NaN");
  EXPECT_EQ(Problem("{\"error\": \"\"}"), "failed without saying why");
  EXPECT_EQ(Problem("{\"error\": \"" + std::string(5000, 'x') + "\"}").size(), 500u);
}

TEST_F(Results, MistakesAreNamed) {
  EXPECT_THAT(ReadProgramResult(file_, 7).error,
              HasSubstr("result.json: the program ended without it"));
  EXPECT_THAT(Problem(""), HasSubstr("result.json: not JSON"));
  EXPECT_THAT(Problem("{\"accuracy\": 0.5"), HasSubstr("not JSON"));
  EXPECT_THAT(Problem("{\"accuracy\": \"\xff\"}"), HasSubstr("not JSON"));
  EXPECT_THAT(Problem("{\"accuracy\": 1e999}"), HasSubstr("not JSON"));
  EXPECT_THAT(Problem("0.5"), HasSubstr("not a JSON object"));
  EXPECT_THAT(Problem("{\"loss\": 0.5}"), HasSubstr("no 'accuracy'"));
  EXPECT_THAT(Problem("{\"accuracy\": 91.5}"), HasSubstr("'accuracy' is 91.5, expected a share"));
  EXPECT_THAT(Problem("{\"accuracy\": -0.1}"), HasSubstr("expected a share"));
  EXPECT_THAT(Problem("{\"accuracy\": NaN}"), HasSubstr("'accuracy' is not finite"));
  EXPECT_THAT(Problem("{\"accuracy\": 0.5, \"loss\": null}"), HasSubstr("'loss' is not finite"));
  EXPECT_THAT(Problem("{\"accuracy\": \"0.5\"}"), HasSubstr("'accuracy' is of type string"));
  EXPECT_THAT(Problem("{\"metrics\": {\"accuracy\": 0.5}}"),
              HasSubstr("'metrics' is of type object, expected a number"));
  EXPECT_THAT(Problem("{\"accuracy\": 0.5, \"latency_us\": 1}"), HasSubstr("Lathe uses itself"));
  EXPECT_THAT(Problem("{\"error\": 3}"), HasSubstr("'error' is of type number"));
  EXPECT_THAT(Problem("{\"accuracy\": 0.5, \"x\": \"" + std::string(2 << 20, 'x') + "\"}"),
              HasSubstr("more than 1048576 bytes"));
  EXPECT_THAT(Problem(std::string(500'000, '[')), HasSubstr("not JSON"));
  fs::remove(file_);
  MakeFolder(file_);
  EXPECT_THAT(ReadProgramResult(file_, 7).error, HasSubstr("not a regular file"));
}

}  // namespace
}  // namespace lathe::study
