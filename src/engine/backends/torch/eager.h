// A network as a list of torch operations: channels-last, batch norm folded. Internal to this back
// end. Of torch's settings it touches none; callers choose threads and inference mode.
#pragma once

#include <ATen/ATen.h>

#include <span>
#include <vector>

#include "net/graph.h"
#include "net/weights.h"

namespace lathe::engine {

// A copy of `values` (float32, on the CPU) where and as the network wants them. Four dimensions
// become channels-last.
at::Tensor ToTensor(std::span<const float> values, at::IntArrayRef shape,
                    const at::TensorOptions& options);

// One node, ready to run.
struct Step {
  net::Node node;
  at::Tensor weight, bias;
  std::vector<int> dead;  // nodes whose values nothing reads after this step

  at::Tensor Run(const at::Tensor& a, const at::Tensor& b) const;
};

// One step per node of the graph, in order, with weights of that type on that device.
std::vector<Step> BuildSteps(const net::Graph& graph, const net::Weights& weights,
                             const at::TensorOptions& options);

// Logits of `images`; calls `after_step` with the index of each step when it has been issued (on
// the CPU: when it is done).
template <typename AfterStep>
at::Tensor RunSteps(const std::vector<Step>& steps, const at::Tensor& images,
                    AfterStep after_step) {
  std::vector<at::Tensor> values(steps.size());
  const auto input = [&](const net::Node& node, size_t i) -> at::Tensor {
    if (i >= node.inputs.size()) return {};
    const int from = node.inputs[i];
    return from == net::Node::kImage ? images : values[static_cast<size_t>(from)];
  };
  for (size_t i = 0; i < steps.size(); ++i) {
    const Step& step = steps[i];
    values[i] = step.Run(input(step.node, 0), input(step.node, 1));
    for (int dead : step.dead) values[static_cast<size_t>(dead)].reset();
    after_step(i);
  }
  return values.back();
}

}  // namespace lathe::engine
