// The wall between torch's exceptions and threads and the rest of Lathe. Private to this module.
#pragma once

#include <torch/types.h>
#include <torch/utils.h>

#include <mutex>
#include <new>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/memory.h"

namespace lathe::train {

// Torch's allocators, and oneDNN when there is no room for its code, say so in words alone.
inline bool IsOutOfMemory(const std::exception& error) {
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr) return true;
  const auto* torch_error = dynamic_cast<const c10::Error*>(&error);
  const std::string text =
      torch_error != nullptr ? torch_error->what_without_backtrace() : error.what();
  for (const char* words : {"allocate", "out of memory", "could not create a primitive"}) {
    if (text.find(words) != std::string::npos) return true;
  }
  return false;
}

// Runs `action`; what torch throws becomes an Error of one line.
template <typename Action>
auto GuardTorch(Action&& action) {
  try {
    return std::forward<Action>(action)();
  } catch (const c10::Error& error) {
    throw Error(ErrorKind::kInternal, "torch failed: {}", error.what_without_backtrace());
  }
}

// While it lives, f32 means f32 on GPUs too, whose fast convolutions keep 10 bits of the mantissa.
class ExactFloat32 {
 public:
  ExactFloat32() : context_(at::globalContext()), before_(context_.float32Precision(kCuda, kConv)) {
    context_.setFloat32Precision(kCuda, kConv, at::Float32Precision::IEEE);
  }
  ~ExactFloat32() { context_.setFloat32Precision(kCuda, kConv, before_); }
  ExactFloat32(const ExactFloat32&) = delete;
  ExactFloat32& operator=(const ExactFloat32&) = delete;

 private:
  static constexpr auto kCuda = at::Float32Backend::CUDA;
  static constexpr auto kConv = at::Float32Op::CONV;
  at::Context& context_;
  at::Float32Precision before_;
};

inline void SetTorchThreads(int threads) {
  static std::once_flag once;
  std::call_once(once, [] {
    at::set_num_interop_threads(1);
    KeepFreedMemory();
    at::globalContext().setDeterministicCuDNN(true);  // the same seed gives the same weights
  });
  // Of this thread, and those it starts. Vanishing gradients are as slow as they are useless.
  at::globalContext().setFlushDenormal(true);
  if (at::get_num_threads() != threads) at::set_num_threads(threads);
}

}  // namespace lathe::train
