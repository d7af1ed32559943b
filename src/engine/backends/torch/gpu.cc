#include "engine/backends/torch/gpu.h"

#include <algorithm>
#include <charconv>
#include <numeric>

#include "base/error.h"
#include "engine/timing.h"

#ifdef LATHE_CUDA
#include <ATen/Context.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAEvent.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>

#include <fstream>
#include <sstream>
#endif

namespace lathe::engine {
namespace {

// 1 for "CUDA:1".
int GpuIndex(std::string_view device) {
  constexpr std::string_view kFirst = "CUDA";
  if (device == kFirst) return 0;
  int index = -1;
  if (device.starts_with("CUDA:")) {
    const std::string_view number = device.substr(kFirst.size() + 1);
    const char* const end = number.data() + number.size();
    const auto [rest, error] = std::from_chars(number.data(), end, index);
    if (error != std::errc() || rest != end) index = -1;
  }
  if (index < 0) {
    throw Error(ErrorKind::kUnavailable,
                "engine torch: device '{}' is not available; use 'CPU', 'CUDA' or 'CUDA:1'",
                device);
  }
  return index;
}

}  // namespace

void TakeOffMarks(std::vector<std::vector<double>>& replays_us,
                  const std::vector<double>& plain_us) {
  std::vector<double> marked_us;
  for (const std::vector<double>& parts : replays_us) {
    marked_us.push_back(std::reduce(parts.begin(), parts.end()));
  }
  const double surplus_us = Summarise(marked_us).median_us - Summarise(plain_us).median_us;
  const double share_us =
      std::max(0.0, surplus_us) / static_cast<double>(replays_us.front().size());
  for (std::vector<double>& parts : replays_us) {
    for (double& part : parts) part = std::max(0.0, part - share_us);
  }
}

#ifdef LATHE_CUDA

namespace {

constexpr int kWarmUps = 3;  // runs before recording; cuDNN tries out its kernels in the first
constexpr double kUsPerMs = 1e3;

// A graph that torch captured, with the events that its marks left in it.
class CudaGraph : public GpuGraph {
 public:
  CudaGraph(const Gpu& gpu, const GpuWork& work)
      : stream_(c10::cuda::getStreamFromPool(false, static_cast<c10::DeviceIndex>(gpu.index))) {
    const c10::cuda::CUDAStreamGuard on(stream_);
    // What `work` reads was written on another stream.
    c10::cuda::device_synchronize();
    for (int i = 0; i < kWarmUps; ++i) work([] {});
    stream_.synchronize();
    // Other threads may go on using CUDA meanwhile.
    graph_.capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
    try {
      work([this] { RecordMark(); });
    } catch (...) {
      EndFailedCapture();
      throw;
    }
    graph_.capture_end();
  }

  void Replay() override {
    const c10::cuda::CUDAStreamGuard on(stream_);
    graph_.replay();
    stream_.synchronize();
  }

  std::vector<double> MarkTimesUs() const override {
    std::vector<double> times_us;
    for (size_t i = 1; i < marks_.size(); ++i) {
      times_us.push_back(marks_[i - 1].elapsed_time(marks_[i]) * kUsPerMs);
    }
    return times_us;
  }

 private:
  // "External" events are nodes of the graph, recorded anew in every replay; others would only
  // order the capture.
  void RecordMark() {
    marks_.emplace_back(static_cast<unsigned>(cudaEventDefault) | cudaEventExternal);
    marks_.back().record(stream_);
  }

  // The stream must not stay in capture; why the capture failed is in the exception under way.
  void EndFailedCapture() noexcept {
    try {
      graph_.capture_end();
    } catch (const std::exception&) {
    }
  }

  c10::cuda::CUDAStream stream_;
  std::vector<c10::cuda::CUDAEvent> marks_;
  at::cuda::CUDAGraph graph_;
};

// "580.82.07" from the kernel module, whose version decides about speed; elsewhere (as under
// Windows' Linux) what CUDA the driver can do.
std::string DriverVersion() {
  std::ifstream file("/proc/driver/nvidia/version");
  std::string line;
  std::getline(file, line);
  std::istringstream words(line);
  for (std::string word; words >> word;) {
    const bool number = word.find_first_not_of("0123456789.") == std::string::npos;
    if (number && word.find('.') != std::string::npos) return word;
  }
  int version = 0;
  if (cudaDriverGetVersion(&version) != cudaSuccess) return "unknown";
  return fmt::format("for CUDA {}.{}", version / 1000, version % 1000 / 10);
}

std::string Versions() {
  int cuda = 0;
  if (cudaRuntimeGetVersion(&cuda) != cudaSuccess) cuda = 0;
  const long cudnn = at::detail::getCUDAHooks().versionRuntimeCuDNN();
  return fmt::format("CUDA {}.{}, cuDNN {}.{}.{}, driver {}", cuda / 1000, cuda % 1000 / 10,
                     cudnn / 10000, cudnn / 100 % 100, cudnn % 100, DriverVersion());
}

}  // namespace

Gpu FindGpu(std::string_view device) {
  Gpu gpu{.index = GpuIndex(device)};
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess || count == 0) {
    throw Error(ErrorKind::kUnavailable,
                "engine torch: device '{}': this machine has no NVIDIA GPU that CUDA can use ({}); "
                "nvidia-smi tells whether the driver sees one",
                device, cudaGetErrorString(status == cudaSuccess ? cudaErrorNoDevice : status));
  }
  if (gpu.index >= count) {
    throw Error(ErrorKind::kUnavailable,
                "engine torch: device '{}': this machine has {} GPU(s), CUDA:0 to CUDA:{}", device,
                count, count - 1);
  }
  cudaDeviceProp properties{};
  if (const cudaError_t error = cudaGetDeviceProperties(&properties, gpu.index);
      error != cudaSuccess) {
    throw Error(ErrorKind::kUnavailable, "engine torch: device '{}': {}", device,
                cudaGetErrorString(error));
  }
  gpu.name = properties.name;
  gpu.has_bf16 = properties.major >= 8;
  gpu.versions = Versions();
  return gpu;
}

std::unique_ptr<GpuGraph> RecordGraph(const Gpu& gpu, const GpuWork& work) {
  return std::make_unique<CudaGraph>(gpu, work);
}

#else

Gpu FindGpu(std::string_view device) {
  GpuIndex(device);
  throw Error(ErrorKind::kUnavailable,
              "engine torch: device '{}': this build of Lathe uses no GPUs; run scripts/setup "
              "--cuda, then cmake --preset release -DLATHE_CUDA=ON and make",
              device);
}

std::unique_ptr<GpuGraph> RecordGraph(const Gpu&, const GpuWork&) {
  throw Error(ErrorKind::kInternal, "built without LATHE_CUDA");
}

#endif

}  // namespace lathe::engine
