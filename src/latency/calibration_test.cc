#include "latency/calibration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/file.h"
#include "base/random.h"
#include "latency/import_conv_testing.h"
#include "latency/import_parts.h"
#include "net/zoo.h"

namespace lathe::latency {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// Networks of 30 to 120 parts that follow the model but for some noise.
std::vector<CalibrationPoint> Points(const Calibration& truth, int count, double noise) {
  Random random(7);
  std::vector<CalibrationPoint> points;
  for (int i = 0; i < count; ++i) {
    CalibrationPoint& point = points.emplace_back();
    const auto parts = 30 + random.Below(90);
    for (uint64_t part = 0; part < parts; ++part)
      point.alone_us.push_back(9 + 60 * std::pow(random.Uniform(), 3));
    point.latency_us = truth.InNetwork(point.alone_us) * (1 + noise * random.Normal());
  }
  return points;
}

TEST(Calibration, FindsTheNumbersThatManyNetworksFollow) {
  const Calibration truth{.scale = 0.7, .launch_us = 3, .constant_us = 60};
  const Calibration found = Calibrate(Points(truth, 400, 0.01));
  EXPECT_NEAR(found.scale, truth.scale, 0.02);
  EXPECT_NEAR(found.launch_us, truth.launch_us, 0.5);
  EXPECT_NEAR(found.constant_us, truth.constant_us, 20);
}

TEST(Calibration, StaysAtThePriorWithoutNetworks) {
  const Calibration found = Calibrate({});
  EXPECT_DOUBLE_EQ(found.scale, Calibration{}.scale);
  EXPECT_DOUBLE_EQ(found.launch_us, Calibration{}.launch_us);
  EXPECT_DOUBLE_EQ(found.constant_us, Calibration{}.constant_us);
}

TEST(Calibration, NoPartIsFree) {
  const Calibration calibration{.scale = 0.5, .launch_us = 5};
  EXPECT_EQ(calibration.InNetwork(8.0), 1);
  EXPECT_EQ(calibration.InNetwork(20.0), 5);
}

TEST(CheckCalibration, JudgesEachNetworkByTheOthers) {
  std::vector<CalibrationPoint> points =
      Points({.scale = 0.8, .launch_us = 4, .constant_us = 30}, 8, 0.0);
  points[3].latency_us *= 1.5;  // one does not fit
  const CalibrationReport report = CheckCalibration(points);
  ASSERT_EQ(report.rows.size(), 8U);
  const CalibrationRow& odd = report.rows[3];
  const double fitted_error = 1 - odd.after_us / odd.known_us;
  const double left_out_error = 1 - odd.left_out_us / odd.known_us;
  EXPECT_NEAR(left_out_error, 1 - 1 / 1.5, 0.05);
  EXPECT_LT(fitted_error, left_out_error - 0.01);
  EXPECT_GT(report.left_out.mape, report.after.mape);
  EXPECT_EQ(report.left_out.networks, 8);
}

TEST(CheckCalibration, CountsPairsInTheWrongOrder) {
  std::vector<CalibrationPoint> points = Points({}, 5, 0.0);
  EXPECT_EQ(CheckCalibration(points).wrong_pairs, 0);
  points[1] = points[0];  // equal, both known and predicted
  EXPECT_EQ(CheckCalibration(points).wrong_pairs, 0);
  points[1].latency_us *= 1.001;  // differ, but are predicted (nearly) equal, the wrong way round
  EXPECT_EQ(CheckCalibration(points).wrong_pairs, 1);
}

class KnownNetworks : public testing::Test {
 protected:
  std::string ReadError(const std::string& text) {
    WriteFileAtomically(path_, text);
    try {
      ReadKnownNetworks(path_, [](const std::string& name) { return net::ZooNetwork(name); });
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kInput);
      return error.what();
    }
    return "no error";
  }
  void TearDown() override { std::filesystem::remove(path_); }
  const std::filesystem::path path_ =
      std::filesystem::path(testing::TempDir()) / "known_networks.csv";
};

TEST_F(KnownNetworks, NamesWhatIsWrong) {
  const std::string head = "# source\nnetwork,latency_ms\ngpunet_0,0.63\n";
  EXPECT_EQ(ReadError(head), "no error");
  EXPECT_THAT(ReadError(head + "gpunet_1,0\n"), AllOf(HasSubstr(":4: "), HasSubstr("gpunet_1")));
  EXPECT_THAT(ReadError(head + "gpunet_1,-1\n"), HasSubstr(":4: "));
  EXPECT_THAT(ReadError(head + "gpunet_1,nan\n"), HasSubstr(":4: "));
  EXPECT_THAT(ReadError(head + "gpunet_1,fast\n"), HasSubstr("'fast'"));
  EXPECT_THAT(ReadError(head + "gpunet_0,0.7\n"), AllOf(HasSubstr(":4: "), HasSubstr("twice")));
  EXPECT_THAT(ReadError(head + "gpunet_9,0.7\n"), AllOf(HasSubstr(":4: "), HasSubstr("gpunet_")));
  EXPECT_THAT(ReadError("network,ms\ngpunet_0,0.63\n"), HasSubstr("latency_ms"));
}

// The published latencies of the seven released GPUNets against the published convolutions.
TEST(Calibration, PredictsTheReleasedGpunetsOnV100) {
  if (!std::filesystem::exists(kV100Table)) GTEST_SKIP() << "SKIPPED: no table at " << kV100Table;
  PartsAlone alone{ConvTable(ReadConvTimings(kV100Table, 1).timings)};
  const auto known = ReadKnownNetworks(
      std::filesystem::path(LATHE_SOURCE_DIR) / "configs/latencies/gpunet-v100.csv",
      [](const std::string& name) { return net::ZooNetwork(name); });
  ASSERT_EQ(known.size(), 7U);
  std::vector<CalibrationPoint> points;
  for (const KnownNetwork& network : known) {
    CalibrationPoint& point = points.emplace_back();
    point.latency_us = network.latency_us;
    for (const net::Layer& layer : network.network.layers) {
      for (const double part : alone.Predict(layer)) point.alone_us.push_back(part);
    }
  }
  const CalibrationReport report = CheckCalibration(points);
  EXPECT_GT(report.alone.mape, 0.2);  // why it is needed
  EXPECT_LT(report.left_out.mape, 0.075);
  EXPECT_LT(std::abs(report.left_out.bias), 0.03);
  EXPECT_EQ(report.wrong_pairs, 0);
  // What the numbers mean must stay plausible.
  EXPECT_NEAR(report.calibration.scale, 1, 0.2);
  EXPECT_NEAR(report.calibration.launch_us, 5, 2.5);
  EXPECT_NEAR(report.calibration.constant_us, 20, 20);
}

}  // namespace
}  // namespace lathe::latency
