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

std::vector<int> AssignLayers(const std::vector<std::string>& names) {
  std::vector<int> layers;
  for (const std::string& name : names) layers.push_back(LayerOfNode(name));
  int next = -1;
  for (size_t i = layers.size(); i-- > 0;) {
    if (layers[i] >= 0) next = layers[i];
    layers[i] = next;
  }
  if (next < 0) {
    throw Error(ErrorKind::kInternal,
                "OpenVINO's profile of {} nodes names no layer of the network", names.size());
  }
  for (size_t i = 1; i < layers.size(); ++i) {
    if (layers[i] < 0) layers[i] = layers[i - 1];
  }
  return layers;
}

void NodeTimes::Add(std::vector<ov::ProfilingInfo> nodes) {
  std::erase_if(nodes, [](const ov::ProfilingInfo& node) {
    return node.status != ov::ProfilingInfo::Status::EXECUTED;
  });
  std::ranges::stable_sort(nodes, {}, &ov::ProfilingInfo::start_time);
  std::vector<std::string> names;
  for (const ov::ProfilingInfo& node : nodes) names.push_back(node.node_name);
  if (names.empty() || names.back() != kEndMarker) {
    throw Error(ErrorKind::kInternal, "OpenVINO's profile of {} nodes does not end in the marker but in {}",
                names.size(), names.empty() ? "" : names.back());
  }
  const std::vector<int> layers = AssignLayers(names);

  std::map<int, double> run_us;
  for (size_t i = 0; i + 1 < nodes.size(); ++i) {
    const auto time = nodes[i + 1].start_time - nodes[i].start_time;
    run_us[layers[i]] += static_cast<double>(time.count());
  }
  for (const auto& [layer, time_us] : run_us) layer_us_[layer].push_back(time_us);
}

std::vector<LayerTime> NodeTimes::Layers() const {
  constexpr double kClockUs = 1.0;
  std::vector<LayerTime> layers;
  for (const auto& [layer, samples] : layer_us_) {
    layers.push_back(SummariseLayer(layer, samples, kClockUs));
  }
  return layers;
}

}  // namespace lathe::engine
