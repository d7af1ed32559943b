#include "engine/backends/openvino/node_times.h"

#include <algorithm>
#include <openvino/op/constant.hpp>
#include <openvino/op/reduce_max.hpp>
#include <openvino/op/result.hpp>

#include "base/error.h"
#include "engine/timing.h"

namespace lathe::engine {
namespace {

constexpr const char* kEndMarker = "lathe.end";

}  // namespace

void AddEndMarker(ov::Model& model) {
  const ov::Output<ov::Node> logits = model.output(0).get_node()->input_value(0);
  const auto classes = ov::op::v0::Constant::create(ov::element::i64, {1}, {1});
  const auto marker = std::make_shared<ov::op::v1::ReduceMax>(logits, classes, true);
  marker->set_friendly_name(kEndMarker);
  model.add_results({std::make_shared<ov::op::v0::Result>(marker)});
}

void NodeTimes::Add(std::vector<ov::ProfilingInfo> nodes) {
  // Not by `status`: nodes whose average is under a microsecond are NOT_RUN. Only those fused away
  // have no start.
  std::erase_if(nodes, [](const ov::ProfilingInfo& node) { return node.start_time.count() == 0; });
  std::ranges::stable_sort(nodes, {}, &ov::ProfilingInfo::start_time);
  std::vector<std::string> names;
  for (const ov::ProfilingInfo& node : nodes) names.push_back(node.node_name);
  if (names.empty() || names.back() != kEndMarker) {
    throw Error(ErrorKind::kInternal,
                "OpenVINO's profile of {} nodes does not end in the marker but in {}", names.size(),
                names.empty() ? "" : names.back());
  }
  const std::vector<int> indices = AssignNodes(names, graph_);

  std::map<int, double> layer_us, node_us;
  for (size_t i = 0; i + 1 < nodes.size(); ++i) {
    const auto time = nodes[i + 1].start_time - nodes[i].start_time;
    node_us[indices[i]] += static_cast<double>(time.count());
    layer_us[graph_.nodes[static_cast<size_t>(indices[i])].layer] +=
        static_cast<double>(time.count());
  }
  for (const auto& [layer, time_us] : layer_us) layer_us_[layer].push_back(time_us);
  for (const auto& [node, time_us] : node_us) node_us_[node].push_back(time_us);
}

std::vector<LayerTime> NodeTimes::Layers() const {
  constexpr double kClockUs = 1.0;
  std::map<int, LayerTime> layers;
  for (const auto& [layer, samples] : layer_us_) {
    layers[layer] = SummariseLayer(layer, samples, kClockUs);
  }
  for (size_t i = 0; i < graph_.nodes.size(); ++i) {
    const auto layer = layers.find(graph_.nodes[i].layer);
    if (layer == layers.end()) continue;
    const auto samples = node_us_.find(static_cast<int>(i));
    layer->second.node_us.push_back(
        samples == node_us_.end() ? 0 : SummariseLayer(0, samples->second, kClockUs).median_us);
  }
  std::vector<LayerTime> times;
  for (auto& [layer, time] : layers) times.push_back(std::move(time));
  return times;
}

}  // namespace lathe::engine
