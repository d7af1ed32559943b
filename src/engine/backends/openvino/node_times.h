// From OpenVINO's per-node profile to time per layer. Internal to this back end.
//
// The plugin's `real_time` is a running average since the model was compiled, cut to whole
// microseconds twice; on small networks that loses up to a microsecond per node, and one
// interrupted inference spoils it for long. Its `start_time` belongs to the last inference, and
// nodes of one stream run one after the other, so a node's time is the start of the next one minus
// its own: nothing is lost in the sum. A marker, a node of no consequence behind the output, ends
// the last one.
#pragma once

#include <map>
#include <openvino/openvino.hpp>
#include <vector>

#include "engine/engine.h"
#include "net/graph.h"

namespace lathe::engine {

// Adds the marker, and with it a second output, to a classifier.
void AddEndMarker(ov::Model& model);

class NodeTimes {
 public:
  explicit NodeTimes(const net::Graph& graph) : graph_(graph) {}
  // The profile of one inference. Throws kInternal when the marker did not run last.
  void Add(std::vector<ov::ProfilingInfo> nodes);
  // Medians over all inferences added, in order of the layers.
  std::vector<LayerTime> Layers() const;

 private:
  const net::Graph& graph_;
  std::map<int, std::vector<double>> layer_us_, node_us_;  // one value per inference
};

}  // namespace lathe::engine
