// A network as torch operations: executes net/graph.h node by node in channels-last layout,
// forwards here, backwards by autograd. All state lies in one flat vector, so that optimizers,
// averages and checkpoints are single operations on it. Private to this module. One thread at a
// time.
#pragma once

#include <torch/types.h>

#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "net/graph.h"
#include "net/weights.h"
#include "train/ops.h"

namespace lathe::train {

// Where a training runs: the first NVIDIA GPU if Lathe is built for it and there is one, else the
// CPU.
at::Device ComputeDevice();

// A random choice of which images or values to keep, scaled so that the expectation stays. Drawn
// for a whole batch, of which this process may have a part.
struct DropMask {
  std::vector<int64_t> shape;   // of the whole batch
  double drop = 0;              // probability
  int64_t first = 0, rows = 0;  // those wanted
  at::TensorOptions options;    // how they are wanted
  at::Tensor values = {};       // what was chosen

  at::Tensor Draw(const at::Generator& generator) const;  // of the CPU, float
};

// The masks of a pass in order: those it has drawn, or, when taken from here, those it has to use.
struct MaskTape {
  std::vector<DropMask> masks;
  bool recorded = false;
  size_t next = 0;
};

struct TrainingPass {
  double dropout = 0;                      // before the classifier
  double drop_connect = 0;                 // at the last block
  at::ScalarType type = at::kFloat;        // of convolutions and what lies between them
  at::Generator generator;                 // of the CPU: the same numbers on every device
  int64_t first_image = 0, of_images = 0;  // of a larger batch (0: none), for dropout
  const NormGroup* group = nullptr;        // whose images norms see; null: those given
  MaskTape* tape = nullptr;                // may be null
};

// Sees every node's output as soon as it is there.
using NodeObserver = std::function<void(const net::Node& node, const at::Tensor& output)>;

class Module {
 public:
  explicit Module(const net::Graph& graph);
  // Another pass over the same state, with a gradient of its own, for another thread.
  Module SharingState() const;

  // Images {n, c, h, w}, channels-last; returns logits {n, classes}, float. With `training`, norms
  // use and update batch statistics and the gradient can be taken.
  at::Tensor Forward(const at::Tensor& images, const TrainingPass* training = nullptr,
                     const NodeObserver& observer = {});

  // Parameters that decay, then the others, then the norms' running statistics. Each begins at a
  // multiple of 64 bytes; what is between them stays zero.
  const at::Tensor& state() const { return state_; }
  int64_t decayed() const { return decayed_; }
  int64_t trainable() const { return trainable_; }
  // The gradient of state()[0, trainable), summed up by backward(); zero it first.
  at::Tensor& gradient() { return gradient_; }

  void Load(const net::Weights& weights);
  // Of any vector laid out as state().
  net::Weights Export(const at::Tensor& state) const;

 private:
  Module(const net::Graph& graph, at::Tensor shared);  // shared: a state, or none yet

  struct Part {  // one tensor of net::Tensors()
    net::TensorSpec spec;
    int64_t offset = 0;
  };
  struct NodeState {
    at::Tensor weight, bias;  // these and the norm's are views into state_, and leaves of autograd
    NormTensors norm;
  };

  at::Tensor View(const at::Tensor& flat, const Part& part) const;
  at::Tensor Convolve(const net::Node& node, const NodeState& node_state, at::Tensor input) const;

  net::Graph graph_;
  std::vector<Part> parts_;
  std::vector<NodeState> nodes_;
  std::vector<double> depth_;  // of every node's layer: 0 first, 1 last before the tail
  int64_t decayed_ = 0, trainable_ = 0;
  at::Tensor state_, gradient_;
};

}  // namespace lathe::train
