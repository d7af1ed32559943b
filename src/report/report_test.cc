#include "report/report.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <regex>

#include "net/zoo.h"

namespace lathe::report {
namespace {

constexpr char kHostile[] = "</script><script>alert(1)</script>";

ReportData Example() {
  ReportData data;
  data.title = kHostile;
  data.latency_budget_us = 250;
  data.genes = {"resolution", "stage2.kernel"};
  data.trials = {
      {.number = 0,
       .state = "COMPLETE",
       .latency_us = 210,
       .accuracy = 0.88,
       .value = 0.4,
       .encoding = {28, 3}},
      {.number = 1, .state = "FAIL", .latency_us = 190, .note = kHostile, .encoding = {28, 5}},
      {.number = 2,
       .state = "COMPLETE",
       .latency_us = 180,
       .accuracy = 0.90,
       .value = 0.3,
       .encoding = {28, 5}}};
  data.networks = {{.name = "finalist 01",
                    .finalist = true,
                    .accuracy = 0.9234,
                    .lut_us = 222,
                    .measured_us = 231.4,
                    .path = "finalists/01",
                    .files = {"model.onnx"},
                    .network = net::ZooNetwork("mobilenet_v2@64"),
                    .curve = {0.8, 0.9},
                    .precisions = {{"f32", "model.onnx", 231.4, 0.9234},
                                   {"int8", "model-int8.onnx", 120.6, 0.9187}}},
                   {.name = kHostile, .accuracy = 0.9, .measured_us = 240}};
  data.edges_us = {100, 200};
  data.bucket_counts = {1, 2, 3};
  data.provenance = {{"Seed", kHostile}};
  return data;
}

nlohmann::json EmbeddedData(const std::string& html) {
  const std::string open = "<script type=\"application/json\" id=\"data\">";
  const size_t from = html.find(open) + open.size();
  return nlohmann::json::parse(html.substr(from, html.find("</script>", from) - from));
}

TEST(RenderReport, HostileNamesStayText) {
  const std::string html = RenderReport(Example());
  EXPECT_EQ(html.find("<script>alert"), std::string::npos);
  const nlohmann::json data = EmbeddedData(html);
  EXPECT_EQ(data["trials"]["note"]["names"][1], kHostile);
  EXPECT_EQ(data["networks"][1]["name"], kHostile);
}

TEST(RenderReport, ShowsTheNumbers) {
  const std::string html = RenderReport(Example());
  for (const char* part : {"92.34", "0.231", "0.250", "0.121", "91.87", "model-int8.onnx",
                           "finalists/01/model.onnx", "<b>conv</b> 3×64×64 → 32×32×32"}) {
    EXPECT_NE(html.find(part), std::string::npos) << part;
  }
}

TEST(RenderReport, FrontHoldsOnlyUnbeatenTrials) {
  const nlohmann::json data = EmbeddedData(RenderReport(Example()));
  EXPECT_EQ(data["front"], nlohmann::json({2}));  // faster and better than trial 0; trial 1 failed
}

TEST(RenderReport, UnfinishedStudyShowsNoEmptyPlotsOrNumbers) {
  ReportData data = Example();
  data.networks.clear();
  std::string html = RenderReport(data);
  EXPECT_NE(html.find("best trial so far, trial 2"), std::string::npos);
  EXPECT_NE(html.find("of 3 trials complete, 1 failed"), std::string::npos);
  EXPECT_EQ(html.find("id=\"curves\""), std::string::npos);
  EXPECT_NE(html.find("<td class=\"text state FAIL\">FAIL</td><td>–</td><td>–</td><td>0.190</td>"),
            std::string::npos);
  data.trials.resize(0);
  html = RenderReport(data);
  EXPECT_NE(html.find("No trial is complete yet"), std::string::npos);
  EXPECT_EQ(html.find("id=\"front\""), std::string::npos);
}

TEST(RenderReport, ComparesWithTheBestBaselineInTheBudget) {
  ReportData data = Example();
  data.networks.push_back({.name = "too slow", .accuracy = 0.99, .measured_us = 251});
  EXPECT_NE(RenderReport(data).find("<b>+2.34</b>"), std::string::npos);
}

TEST(RenderReport, AsksForNothingFromOutside) {
  const std::string html = RenderReport(Example());
  EXPECT_FALSE(std::regex_search(html.substr(0, html.find("application/json")),
                                 std::regex("(src|href)=\"(https?:)?//")));
  EXPECT_NE(html.find("default-src 'none'"), std::string::npos);
}

TEST(RenderReport, OnlyTheLivePageMayAskItsServer) {
  EXPECT_EQ(RenderReport(Example()).find("connect-src"), std::string::npos);
  EXPECT_NE(RenderReport(Example(), PageKind::kLive).find("connect-src 'self'"), std::string::npos);
}

TEST(RenderReport, SaysWhatMattered) {
  ReportData data = Example();
  data.trials.clear();
  for (int i = 0; i < 24; ++i) {
    data.trials.push_back({.number = i,
                           .state = "COMPLETE",
                           .latency_us = 100.0 + 10 * (i % 2) + i % 3,
                           .accuracy = 0.8 + 0.01 * (i % 2) + 0.001 * (i % 5),
                           .encoding = {28, i % 2 ? 3 : 5}});
  }
  const nlohmann::json effects = EmbeddedData(RenderReport(data))["effects"];
  ASSERT_EQ(effects.size(), 1u) << effects;  // all have the same resolution
  EXPECT_EQ(effects[0]["gene"], "stage2.kernel");
  EXPECT_GT(effects[0]["latency"], 0.9);
  EXPECT_GT(effects[0]["accuracy"], 0.8);
}

TEST(RenderReport, EmptyStudyAndBrokenUtf8AreFine) {
  ReportData data;
  data.title = "bad \xff utf-8";
  data.trials.push_back({.state = "RUNNING", .note = "\xc3"});
  EXPECT_EQ(EmbeddedData(RenderReport(data))["trials"]["count"], 1);
}

}  // namespace
}  // namespace lathe::report
