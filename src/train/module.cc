#include "train/module.h"

#include <torch/cuda.h>

#include <algorithm>

#include "base/error.h"

namespace lathe::train {
namespace {

// Vectorised kernels want their operands to begin at multiples of 16 bytes, cuDNN's without asking.
constexpr int64_t kAligned = 16;  // floats

int64_t Size(const net::TensorSpec& spec) {
  int64_t size = 1;
  for (const int64_t length : spec.shape) size *= length;
  return size;
}

at::Tensor KeepMask(std::vector<int64_t> shape, double drop, const at::Tensor& like,
                    const TrainingPass& pass) {
  if (pass.tape != nullptr && pass.tape->recorded)
    return pass.tape->masks.at(pass.tape->next++).values;
  DropMask mask{.shape = std::move(shape),
                .drop = drop,
                .first = pass.first_image,
                .rows = like.size(0),
                .options = like.options()};
  mask.shape[0] = std::max(mask.rows, pass.of_images);
  const at::Tensor values = mask.Draw(pass.generator).to(mask.options);
  if (pass.tape != nullptr) pass.tape->masks.push_back(std::move(mask));
  return values;
}

// A convolution of single pixels is a product of matrices, pixels x channels. oneDNN's convolutions
// are as fast or faster for many pixels; for few with many channels, as at the end of networks for
// small images, they reach a fifth to a half of the speed of its products (most so for gradients of
// weights).
bool IsBetterMultiplied(const net::Node& node, const at::Tensor& input) {
  const int64_t pixels = input.size(0) * input.size(2) * input.size(3);
  return input.device().is_cpu() && node.kernel == 1 && node.stride == 1 && node.groups == 1 &&
         pixels < 2 * (int64_t{node.in.c} + node.out.c);
}

at::Tensor Pointwise(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias) {
  const at::Tensor pixels = input.permute({0, 2, 3, 1});  // rows of channels, as they lie in memory
  const at::Tensor matrix = weight.view({weight.size(0), weight.size(1)});
  return at::linear(pixels, matrix, bias).permute({0, 3, 1, 2});
}

}  // namespace

at::Device ComputeDevice() {
#ifdef LATHE_CUDA
  if (torch::cuda::is_available()) return at::kCUDA;
#endif
  return at::kCPU;
}

at::Tensor DropMask::Draw(const at::Generator& generator) const {
  const at::Tensor all = at::empty(shape, at::kFloat).bernoulli_(1 - drop, generator);
  return all.div_(1 - drop).narrow(0, first, rows);
}

Module::Module(const net::Graph& graph) : Module(graph, {}) {}

Module Module::SharingState() const { return Module(graph_, state_); }

Module::Module(const net::Graph& graph, at::Tensor shared)
    : graph_(graph), state_(std::move(shared)) {
  for (net::TensorSpec& spec : net::Tensors(graph_)) parts_.push_back({std::move(spec)});
  const auto place = [&](int64_t begin, const auto& belongs) {
    for (Part& part : parts_) {
      if (!belongs(part.spec)) continue;
      part.offset = begin;
      begin += (Size(part.spec) + kAligned - 1) / kAligned * kAligned;
    }
    return begin;
  };
  decayed_ = place(0, [](const net::TensorSpec& spec) { return spec.shape.size() > 1; });
  trainable_ = place(decayed_, [](const net::TensorSpec& spec) {
    return spec.trainable && spec.shape.size() == 1;
  });
  const int64_t size =
      place(trainable_, [](const net::TensorSpec& spec) { return !spec.trainable; });
  const auto options = at::TensorOptions(at::kFloat).device(ComputeDevice());
  if (!state_.defined()) state_ = at::zeros({size}, options);
  gradient_ = at::zeros({trainable_}, options);

  auto part = parts_.begin();  // net::Tensors() goes through the nodes in order
  const auto next = [&] {
    at::Tensor view =
        View(state_, *part).variable_data();  // with a version count of its own, unlike detach()
    if (part->spec.trainable) {
      view.requires_grad_(true);
      view.mutable_grad() = View(gradient_, *part);
    }
    ++part;
    return view;
  };
  for (const net::Node& node : graph_.nodes) {
    NodeState& state = nodes_.emplace_back();
    if (node.kind == net::NodeKind::kConv || node.kind == net::NodeKind::kLinear)
      state.weight = next();
    if (node.bias) state.bias = next();
    if (!node.batch_norm) continue;
    state.norm.gamma = next();
    state.norm.beta = next();
    state.norm.mean = next();
    state.norm.var = next();
  }
  const int last_block = std::max(1, graph_.nodes.back().layer - 1);
  for (const net::Node& node : graph_.nodes)
    depth_.push_back(static_cast<double>(node.layer) / last_block);
}

// Convolution weights lie in memory as {out, k, k, in}: channels-last, like the images.
at::Tensor Module::View(const at::Tensor& flat, const Part& part) const {
  const std::vector<int64_t>& shape = part.spec.shape;
  const at::Tensor values = flat.narrow(0, part.offset, Size(part.spec));
  if (shape.size() < 4) return values.view(shape);
  return values.view({shape[0], shape[2], shape[3], shape[1]}).permute({0, 3, 1, 2});
}

at::Tensor Module::Convolve(const net::Node& node, const NodeState& state, at::Tensor input) const {
  if (HasDepthwiseKernel(node, input)) return DepthwiseConvolve(input, state.weight, node);
  at::Tensor weight = state.weight, bias = state.bias;
  if (input.scalar_type() != at::kFloat) {
    weight = weight.to(input.scalar_type());
    if (bias.defined()) bias = bias.to(input.scalar_type());
  }
  if (IsBetterMultiplied(node, input)) return Pointwise(input, weight, bias);
  int64_t padding = node.pad_begin;
  if (node.pad_begin != node.pad_end) {
    input =
        at::constant_pad_nd(input, {node.pad_begin, node.pad_end, node.pad_begin, node.pad_end});
    padding = 0;
  }
  return at::conv2d(input, weight, bias, node.stride, padding, 1, node.groups);
}

at::Tensor Module::Forward(const at::Tensor& images, const TrainingPass* training,
                           const NodeObserver& observer) {
  std::vector<at::Tensor> outputs(graph_.nodes.size());
  const at::Tensor input = training != nullptr ? images.to(training->type) : images;
  const NormMode norm_mode{.training = training != nullptr,
                           .group = training != nullptr ? training->group : nullptr};
  const auto get = [&](int index) {
    return index == net::Node::kImage ? input : outputs[static_cast<size_t>(index)];
  };
  for (size_t i = 0; i < graph_.nodes.size(); ++i) {
    const net::Node& node = graph_.nodes[i];
    const NodeState& state = nodes_[i];
    const at::Tensor x = get(node.inputs[0]);
    at::Tensor& out = outputs[i];
    switch (node.kind) {
      case net::NodeKind::kConv:
        out = Convolve(node, state, x);
        out = node.batch_norm ? NormActivate(out, state.norm, node, norm_mode)
                              : Activate(node.act, out);
        break;
      case net::NodeKind::kPool:
        out = GlobalAverage(x);
        break;
      case net::NodeKind::kScale:
        out = ScaleChannels(x, get(node.inputs[1]));
        break;
      case net::NodeKind::kAdd: {
        at::Tensor path = x;
        const double drop =
            training != nullptr ? training->drop_connect * std::min(1.0, depth_[i]) : 0;
        if (drop > 0) path = path * KeepMask({path.size(0), 1, 1, 1}, drop, path, *training);
        out = path + get(node.inputs[1]);
        break;
      }
      case net::NodeKind::kLinear: {
        at::Tensor features = x.flatten(1).to(at::kFloat);
        const bool classifier = i + 1 == graph_.nodes.size();
        if (classifier && training != nullptr && training->dropout > 0) {
          features =
              features * KeepMask(features.sizes().vec(), training->dropout, features, *training);
        }
        out = Activate(node.act, at::linear(features, state.weight, state.bias));
        break;
      }
    }
    if (observer) observer(node, out);
  }
  return outputs.back();
}

void Module::Load(const net::Weights& weights) {
  net::CheckWeights(graph_, weights);
  const at::NoGradGuard no_grad;
  for (const Part& part : parts_) {
    const std::vector<float>& values = weights.at(part.spec.name).values;
    View(state_, part)
        .copy_(at::from_blob(const_cast<float*>(values.data()), part.spec.shape, at::kFloat));
  }
}

net::Weights Module::Export(const at::Tensor& state) const {
  net::Weights weights;
  for (const Part& part : parts_) {
    const at::Tensor values = View(state, part).to(at::kCPU).contiguous();
    const auto* data = values.const_data_ptr<float>();
    weights.tensors[part.spec.name] = {part.spec.shape,
                                       std::vector<float>(data, data + values.numel())};
  }
  return weights;
}

}  // namespace lathe::train
