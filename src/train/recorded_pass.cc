#include "train/recorded_pass.h"

#include "base/error.h"

#ifdef LATHE_CUDA
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#endif

namespace lathe::train {
namespace {

bool SameShape(const at::Tensor& a, const at::Tensor& b) {
  if (!a.defined() || !b.defined()) return a.defined() == b.defined();
  return a.sizes() == b.sizes() && a.strides() == b.strides();
}

}  // namespace

bool PassInput::HasShapeOf(const PassInput& other) const {
  return SameShape(images, other.images) && SameShape(targets.labels, other.targets.labels) &&
         SameShape(targets.partners, other.targets.partners) &&
         SameShape(targets.shares, other.targets.shares) && SameShape(scale, other.scale) &&
         share == other.share;
}

#ifdef LATHE_CUDA

namespace {

at::Tensor Room(const at::Tensor& like) {
  return like.defined() ? at::empty_like(like) : at::Tensor();
}

class CudaPass : public RecordedPass {
 public:
  // What is filled before each replay lies outside of the graph's memory, where an earlier kernel's
  // results may be in the same place.
  CudaPass(const PassInput& like, std::vector<DropMask> masks, const PassWork& work)
      : input_{.images = Room(like.images),
               .targets = {.labels = Room(like.targets.labels),
                           .partners = Room(like.targets.partners),
                           .shares = Room(like.targets.shares)},
               .share = like.share,
               .scale = Room(like.scale)},
        tape_{.masks = std::move(masks), .recorded = true} {
    for (DropMask& mask : tape_.masks) {
      std::vector<int64_t> shape = mask.shape;
      shape[0] = mask.rows;
      mask.values = at::empty(shape, mask.options);
    }
    c10::cuda::device_synchronize();
    c10::cuda::CUDACachingAllocator::emptyCache();  // the graph has memory of its own
    const c10::cuda::CUDAStreamGuard on(c10::cuda::getStreamFromPool());
    // Other threads may go on using CUDA meanwhile.
    graph_.capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
    try {
      loss_ = work(input_, tape_);
    } catch (...) {
      EndFailedCapture();
      throw;
    }
    graph_.capture_end();
  }

  bool Fits(const PassInput& input) const override { return input.HasShapeOf(input_); }

  at::Tensor Run(const PassInput& input, const TrainingPass& pass) override {
    const at::NoGradGuard no_grad;
    const auto copy = [](const at::Tensor& from, at::Tensor& to) {
      if (to.defined()) to.copy_(from);
    };
    copy(input.images, input_.images);
    copy(input.targets.labels, input_.targets.labels);
    copy(input.targets.partners, input_.targets.partners);
    copy(input.targets.shares, input_.targets.shares);
    copy(input.scale, input_.scale);
    for (DropMask& mask : tape_.masks) {
      mask.first = pass.first_image;
      mask.values.copy_(mask.Draw(pass.generator));
    }
    graph_.replay();
    return loss_;
  }

 private:
  // The stream must not stay in capture; why the capture failed is in the exception under way.
  void EndFailedCapture() noexcept {
    try {
      graph_.capture_end();
    } catch (const std::exception&) {
    }
  }

  PassInput input_;
  MaskTape tape_;
  at::Tensor loss_;
  at::cuda::CUDAGraph graph_;
};

}  // namespace

std::unique_ptr<RecordedPass> RecordPass(const PassInput& like, std::vector<DropMask> masks,
                                         const PassWork& work) {
  return std::make_unique<CudaPass>(like, std::move(masks), work);
}

#else

std::unique_ptr<RecordedPass> RecordPass(const PassInput&, std::vector<DropMask>, const PassWork&) {
  throw Error(ErrorKind::kInternal, "built without LATHE_CUDA");
}

#endif

}  // namespace lathe::train
