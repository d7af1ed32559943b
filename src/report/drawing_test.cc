#include "report/drawing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <regex>

#include "net/zoo.h"

namespace lathe::report {
namespace {

std::vector<double> Attributes(const std::string& svg, const std::string& name) {
  std::vector<double> values;
  const std::regex pattern(" " + name + "=\"([0-9.]+)\"");
  for (std::sregex_iterator it(svg.begin(), svg.end(), pattern), end; it != end; ++it) {
    values.push_back(std::stod((*it)[1]));
  }
  return values;
}

TEST(NetworkDrawingTest, WidthsFollowTheLatencyAndHeightsThePixels) {
  const net::Network network = net::ZooNetwork("mobilenet_v2@64");
  std::vector<double> layer_us(network.layers.size(), 1.0);
  layer_us[3] = 20;
  const std::string svg = NetworkDrawing(network, layer_us);
  const std::vector<double> widths = Attributes(svg, "width"), heights = Attributes(svg, "height");
  ASSERT_EQ(widths.size(), network.layers.size());
  EXPECT_EQ(std::ranges::max_element(widths) - widths.begin(), 3);
  EXPECT_GT(heights.front(), heights[network.layers.size() - 2]);
  EXPECT_TRUE(std::ranges::is_sorted(heights, std::greater<>()));
}

TEST(NetworkDrawingTest, DeepNetworksFit) {
  net::Network network = net::ZooNetwork("mobilenet_v2@64");
  const net::Layer repeated = network.layers[2];
  network.layers.insert(network.layers.begin() + 2, 300, repeated);
  const std::string svg = NetworkDrawing(network, {});
  for (const double width : Attributes(svg, "width")) EXPECT_GT(width, 0);
  std::smatch box;
  ASSERT_TRUE(std::regex_search(svg, box, std::regex("viewBox=\"0 0 ([0-9]+)")));
  EXPECT_LE(Attributes(svg, "x").back(), std::stod(box[1]));
}

TEST(StageListTest, NamesRunsOfEqualLayersAndTheirShares) {
  const net::Network network = net::ZooNetwork("mobilenet_v2@64");
  const std::string list = StageList(network, std::vector<double>(network.layers.size(), 1.0));
  EXPECT_NE(list.find("<b>irb ×4</b>"), std::string::npos) << list;
  EXPECT_NE(list.find("→ 1000 classes"), std::string::npos) << list;
  EXPECT_EQ(StageList(network, {}).find("share"), std::string::npos);
}

}  // namespace
}  // namespace lathe::report
