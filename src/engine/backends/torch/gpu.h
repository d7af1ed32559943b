// NVIDIA GPUs for the torch engine: which one a target means, and work recorded as a CUDA graph.
// Everything else of the engine is the same for every device. Built without the CMake option
// LATHE_CUDA, all there is are the errors that say so. Used by one thread at a time.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace lathe::engine {

struct Gpu {
  int index = 0;
  std::string name;      // "NVIDIA H100 80GB HBM3"
  std::string versions;  // "CUDA 13.0, cuDNN 9.19.0, driver 580.82.07"
  bool has_bf16 = true;  // computes in bf16 (Ampere and later)
};

// The GPU that "CUDA" (the first) or "CUDA:1" means. Throws kUnavailable, saying what to do, for
// another word, when this build has no CUDA, and when this machine has no such GPU.
Gpu FindGpu(std::string_view device);

// Work of a GPU, recorded once and started as a whole: what a deployed model does to spare itself
// the launch of every kernel.
class GpuGraph {
 public:
  virtual ~GpuGraph() = default;
  // Runs the work once; blocks until the GPU is done.
  virtual void Replay() = 0;
  // Time from each mark to the next in the last Replay(), by the GPU's clock, in us.
  virtual std::vector<double> MarkTimesUs() const = 0;
};

using Mark = std::function<void()>;
using GpuWork = std::function<void(const Mark& mark)>;

// Records what `work` does with torch on that GPU. It is called several times, and may call `mark`
// at points to be timed. Tensors it makes live in the graph; those it uses must outlive it.
std::unique_ptr<GpuGraph> RecordGraph(const Gpu& gpu, const GpuWork& work);

// Takes off what marks take themselves, about a microsecond each and as much as a small layer.
// `replays_us` are the MarkTimesUs() of several replays, `plain_us` the times of the same work with
// marks at its ends only. Every part loses the same, so that they add up to the plain time.
void TakeOffMarks(std::vector<std::vector<double>>& replays_us,
                  const std::vector<double>& plain_us);

}  // namespace lathe::engine
