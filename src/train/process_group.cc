#define USE_C10D_GLOO
#ifdef LATHE_CUDA
#define USE_C10D_NCCL
#endif

#include "train/process_group.h"

#include <torch/autograd.h>
#include <torch/csrc/distributed/c10d/FileStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#ifdef LATHE_CUDA
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#endif

#include "base/error.h"
#include "train/module.h"

namespace lathe::train {
namespace {

constexpr auto kMeetingTime = std::chrono::minutes(5);
constexpr auto kAnswerTime = std::chrono::minutes(10);

c10::intrusive_ptr<c10d::Backend> Connect(const c10::intrusive_ptr<c10d::Store>& store,
                                          const Parallel& parallel) {
#ifdef LATHE_CUDA
  if (ComputeDevice() != at::kCPU) {
    const auto options = c10d::ProcessGroupNCCL::Options::create();
    options->timeout = kAnswerTime;
    return c10::make_intrusive<c10d::ProcessGroupNCCL>(store, parallel.rank, parallel.processes,
                                                       options);
  }
#endif
  using Gloo = c10d::ProcessGroupGloo;
  const auto options = Gloo::Options::create(kAnswerTime);
  options->threads = 1;
  // Loopback cannot be wrong where all are on one machine; a host name may not resolve there.
  options->devices.push_back(parallel.one_machine ? Gloo::createDeviceForHostname("127.0.0.1")
                                                  : Gloo::createDefaultDevice());
  return c10::make_intrusive<Gloo>(store, parallel.rank, parallel.processes, options);
}

// What torch throws here is about other processes or the network between them.
template <typename Action>
void Guard(const Parallel& parallel, std::string_view doing, const Action& action) {
  try {
    action();
  } catch (const std::exception& error) {
    const std::string text = error.what();
    throw Error(ErrorKind::kUnavailable,
                "process {} of {}: {} failed, another process of this training died or cannot be "
                "reached ({})",
                parallel.rank + 1, parallel.processes, doing, text.substr(0, text.find('\n')));
  }
}

}  // namespace

struct ProcessGroup::Impl {
  Parallel parallel;
  c10::intrusive_ptr<c10d::Backend> backend;
};

ProcessGroup::ProcessGroup(const Parallel& parallel)
    : rank_(parallel.rank),
      size_(parallel.processes),
      impl_(std::make_unique<Impl>(Impl{.parallel = parallel, .backend = {}})) {
  Guard(parallel, "meeting the others", [&] {
    const auto store =
        c10::make_intrusive<c10d::FileStore>(parallel.rendezvous.string(), parallel.processes);
    store->setTimeout(kMeetingTime);
    impl_->backend = Connect(store, parallel);
  });
}

ProcessGroup::~ProcessGroup() = default;

void ProcessGroup::Sum(at::Tensor tensor) {
  Guard(impl_->parallel, "adding up gradients", [&] {
    if (size_ > 2 && tensor.device().is_cpu()) return SumInPairs(tensor);
    std::vector<at::Tensor> tensors{std::move(tensor)};
    impl_->backend->allreduce(tensors)->wait();
  });
}

// Everybody adds up a part of the vector, and gets the others' sums.
void ProcessGroup::SumInPairs(at::Tensor& vector) {
  const int64_t part = (vector.numel() + size_ - 1) / size_;
  at::Tensor whole = at::zeros({size_ * part}, vector.options());
  whole.narrow(0, 0, vector.numel()).copy_(vector);
  at::Tensor parts = at::empty_like(whole);
  std::vector<int64_t> equal;
  impl_->backend->alltoall_base(parts, whole, equal, equal)->wait();
  const std::vector<at::Tensor> from = parts.view({size_, part}).unbind();
  const auto of = [&](int rank) { return from[static_cast<size_t>(rank)]; };
  InPairs(size_, [&](int into, int other) { of(into).add_(of(other)); });
  at::Tensor sum = from[0];
  impl_->backend->_allgather_base(whole, sum)->wait();
  vector.copy_(whole.narrow(0, 0, vector.numel()));
}

namespace {

struct SumFunction : torch::autograd::Function<SumFunction> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                            int64_t group) {
    context->saved_data["group"] = group;
    at::Tensor sum = x.clone();
    reinterpret_cast<ProcessGroup*>(group)->Sum(sum);
    return sum;
  }
  static torch::autograd::tensor_list backward(torch::autograd::AutogradContext* context,
                                               torch::autograd::tensor_list gradients) {
    at::Tensor sum = gradients[0].clone();
    reinterpret_cast<ProcessGroup*>(context->saved_data["group"].toInt())->Sum(sum);
    return {sum, {}};
  }
};

}  // namespace

at::Tensor SumOver(ProcessGroup& group, const at::Tensor& x) {
  return SumFunction::apply(x, reinterpret_cast<int64_t>(&group));
}

}  // namespace lathe::train
