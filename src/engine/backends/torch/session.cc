#include "engine/backends/torch/session.h"

#include <ATen/Parallel.h>

#include <string_view>

namespace lathe::engine {
namespace {

constexpr auto kCuda = at::Float32Backend::CUDA;
constexpr auto kConv = at::Float32Op::CONV;

// Elsewhere torch computes bf16 value by value, a hundred times slower than f32: nobody's latency.
bool CpuHasFastBf16() {
#ifdef __x86_64__
  return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl");
#else
  return true;
#endif
}

void CheckPrecision(const TorchTarget& target) {
  const Precision precision = target.options.precision;
  const auto refuse = [&](std::string_view where, const char* use) {
    throw Error(ErrorKind::kInput, "engine torch: precision {} is not supported on {}; use {}",
                Name(precision), where, use);
  };
  if (!target.gpu) {
    if (precision != Precision::kF32 && precision != Precision::kBf16) {
      refuse("the CPU", "f32 or bf16");
    }
    if (precision == Precision::kBf16 && !CpuHasFastBf16()) refuse("a CPU without AVX-512", "f32");
  } else if (precision == Precision::kInt8) {
    refuse("GPUs", "f32, f16 or bf16");
  } else if (precision == Precision::kBf16 && !target.gpu->has_bf16) {
    refuse(target.gpu->name, "f32 or f16");
  }
}

}  // namespace

at::TensorOptions TorchTarget::Tensors() const {
  const at::ScalarType type = options.precision == Precision::kBf16  ? at::kBFloat16
                              : options.precision == Precision::kF16 ? at::kHalf
                                                                     : at::kFloat;
  const at::Device device =
      gpu ? at::Device(at::kCUDA, static_cast<at::DeviceIndex>(gpu->index)) : at::Device(at::kCPU);
  return at::TensorOptions(device).dtype(type);
}

TorchTarget MakeTorchTarget(const TargetOptions& options) {
  TorchTarget target{.options = options, .gpu = {}};
  if (options.device != "CPU") target.gpu = FindGpu(options.device);
  CheckPrecision(target);
  return target;
}

GpuArithmetic::GpuArithmetic()
    : context_(at::globalContext()),
      benchmark_(context_.benchmarkCuDNN()),
      matmul_tf32_(context_.allowTF32CuBLAS()),
      conv_(context_.float32Precision(kCuda, kConv)) {
  context_.setBenchmarkCuDNN(true);
  context_.setAllowTF32CuBLAS(false);
  context_.setFloat32Precision(kCuda, kConv, at::Float32Precision::IEEE);
}

GpuArithmetic::~GpuArithmetic() {
  context_.setBenchmarkCuDNN(benchmark_);
  context_.setAllowTF32CuBLAS(matmul_tf32_);
  context_.setFloat32Precision(kCuda, kConv, conv_);
}

Session::Session(const TorchTarget& target) : threads_before_(at::get_num_threads()) {
  at::set_num_threads(target.options.threads);
  if (!target.gpu) return;
  device_.reset_device(target.Tensors().device());
  arithmetic_.emplace();
}

Session::~Session() { at::set_num_threads(threads_before_); }

}  // namespace lathe::engine
