#include "train/evaluate.h"

#include <algorithm>

#include "train/torch_guard.h"
#include "train/trainer.h"

namespace lathe::train {

at::Tensor ImagesOf(const float* nhwc, int64_t count, net::Shape shape) {
  const at::Tensor images =
      at::from_blob(const_cast<float*>(nhwc), {count, shape.h, shape.w, shape.c}, at::kFloat);
  return images.permute({0, 3, 1, 2}).to(ComputeDevice());
}

Score Evaluate(Module& module, data::Loader& loader, net::Shape shape, Lanes& lanes,
               ProcessGroup* group) {
  const c10::InferenceMode inference;
  data::Batch batch;
  const int64_t image = int64_t{shape.c} * shape.h * shape.w;
  // By lane: loss, correct answers, images.
  at::Tensor sums =
      at::zeros({lanes.count(), 3}, at::TensorOptions(at::kDouble).device(ComputeDevice()));
  loader.StartEpoch(0);
  while (loader.Next(batch)) {
    lanes.Run([&](int lane) {
      const LanePart part = PartOf(batch.count, lane, lanes.count());
      if (part.count() == 0) return;
      const c10::InferenceMode lane_inference;
      const at::Tensor logits =
          module.Forward(ImagesOf(batch.images.data() + part.begin * image, part.count(), shape));
      const at::Tensor labels =
          at::from_blob(batch.labels.data() + part.begin, {part.count()}, at::kLong)
              .to(logits.device());
      at::Tensor own = sums[lane];
      own[0] += at::cross_entropy_loss(logits, labels, {}, at::Reduction::Sum);
      own[1] += logits.argmax(1).eq(labels).sum();
      own[2] += part.count();
    });
  }
  const at::Tensor all = sums.sum(0);
  if (group != nullptr) group->Sum(all);
  const at::Tensor total = all.cpu();
  const auto images = total[2].item<double>();
  return {total[0].item<double>() / images, total[1].item<double>() / images};
}

struct TrainedModel::Impl {
  Impl(const net::Network& source, const net::Weights& weights)
      : network(source), module(net::Lower(source)) {
    module.Load(weights);
  }
  net::Network network;
  Module module;
};

TrainedModel::TrainedModel(const net::Network& network, const net::Weights& weights, int threads) {
  GuardTorch([&] {
    SetTorchThreads(threads);
    impl_ = std::make_unique<Impl>(network, weights);
  });
}

TrainedModel::~TrainedModel() = default;

std::vector<float> TrainedModel::Logits(std::span<const float> images, int count,
                                        const Observer& observer) {
  const net::Shape shape = impl_->network.input;
  const int64_t size = int64_t{shape.c} * shape.h * shape.w;
  if (std::ssize(images) != size * count) {
    throw Error(ErrorKind::kInternal, "{} images of {} x {} x {} need {} values, not {}", count,
                shape.h, shape.w, shape.c, size * count, images.size());
  }
  NodeObserver onto_host;
  if (observer) {
    onto_host = [&](const net::Node& node, const at::Tensor& output) {
      const at::Tensor values =
          (output.dim() == 4 ? output.permute({0, 2, 3, 1}) : output).to(at::kCPU).contiguous();
      observer(node, {values.const_data_ptr<float>(), static_cast<size_t>(values.numel())});
    };
  }
  return GuardTorch([&] {
    const c10::InferenceMode inference;
    const ExactFloat32 exact;    // exported models are compared with what this says
    constexpr int kBatch = 256;  // bounds the memory
    std::vector<float> result;
    for (int begin = 0; begin < count; begin += kBatch) {
      const int part = std::min(kBatch, count - begin);
      const at::Tensor input = ImagesOf(images.data() + begin * size, part, shape);
      const at::Tensor logits =
          impl_->module.Forward(input, nullptr, onto_host).to(at::kCPU).contiguous();
      const auto* values = logits.const_data_ptr<float>();
      result.insert(result.end(), values, values + logits.numel());
    }
    return result;
  });
}

}  // namespace lathe::train
