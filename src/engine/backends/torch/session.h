// What a network is run on by the torch engine, and torch's state while it runs there. Internal to
// this back end.
#pragma once

#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>

#include <optional>

#include "base/error.h"
#include "engine/backends/torch/gpu.h"
#include "engine/engine.h"

namespace lathe::engine {

struct TorchTarget {
  TargetOptions options;
  std::optional<Gpu> gpu;  // none: the CPU

  // Where its tensors are, and of which type.
  at::TensorOptions Tensors() const;
};

// Finds the device. Throws kUnavailable when it is not there, kInput when it does not compute in
// that precision.
TorchTarget MakeTorchTarget(const TargetOptions& options);

// Torch's arithmetic on GPUs while it lives: f32 means f32, and cuDNN picks its kernels by trying
// them out, as one has it do for a deployed model of fixed shape. Global to the process.
class GpuArithmetic {
 public:
  GpuArithmetic();
  ~GpuArithmetic();
  GpuArithmetic(const GpuArithmetic&) = delete;
  GpuArithmetic& operator=(const GpuArithmetic&) = delete;

 private:
  at::Context& context_;
  bool benchmark_, matmul_tf32_;
  at::Float32Precision conv_;
};

// Inference mode, the target's thread count and its GPU while it lives.
class Session {
 public:
  explicit Session(const TorchTarget& target);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

 private:
  c10::InferenceMode inference_;
  c10::OptionalDeviceGuard device_;
  std::optional<GpuArithmetic> arithmetic_;
  int threads_before_;
};

// Runs `body`; torch's exceptions leave as Error.
template <typename Body>
auto Guard(const char* doing, Body body) {
  try {
    return body();
  } catch (const c10::Error& e) {
    throw Error(ErrorKind::kInternal, "torch failed to {}: {}", doing, e.what_without_backtrace());
  }
}

}  // namespace lathe::engine
