// The seven released GPUNets, row for row as in NVIDIA's files, Apache-2.0:
// NVIDIA/DeepLearningExamples, PyTorch/Classification/GPUNet/configs.
#include <span>

#include "net/gpunet_file.h"

namespace lathe::net {
namespace {

using enum GpunetType;
constexpr Activation kRelu = Activation::kRelu;
constexpr Activation kSwish = Activation::kSwish;

// `repeat` equal rows after another. Every released network has 1,000 classes and groups of 1.
struct Rows {
  int repeat;
  GpunetType type;
  int out_channels;
  int kernel;
  int stride;
  double expansion;
  Activation act;
  bool use_se;
  int stage;
};

constexpr Rows kGpunet0[] = {
    {1, kHead, 32, 3, 1, 1, kSwish, false, 0},    {2, kConv, 32, 3, 1, 1, kRelu, false, 1},
    {1, kFusedIrb, 32, 3, 2, 5, kRelu, false, 2}, {1, kFusedIrb, 32, 3, 1, 5, kRelu, false, 2},
    {1, kFusedIrb, 64, 3, 2, 5, kRelu, false, 3}, {2, kFusedIrb, 64, 3, 1, 5, kRelu, false, 3},
    {1, kIrb, 256, 3, 2, 5, kSwish, false, 4},    {2, kIrb, 256, 3, 1, 5, kSwish, false, 4},
    {1, kIrb, 704, 3, 2, 5, kRelu, true, 6},      {1, kIrb, 704, 3, 1, 5, kRelu, true, 6},
    {1, kTail, 1280, 3, 1, 1, kRelu, false, 7},
};

constexpr Rows kGpunet1[] = {
    {1, kHead, 24, 3, 1, 1, kSwish, false, 0},     {1, kConv, 24, 3, 1, 1, kRelu, false, 1},
    {1, kFusedIrb, 64, 3, 2, 4, kSwish, false, 2}, {1, kFusedIrb, 64, 3, 1, 4, kSwish, false, 2},
    {1, kFusedIrb, 96, 3, 2, 4, kSwish, false, 3}, {1, kFusedIrb, 96, 3, 1, 4, kSwish, false, 3},
    {1, kIrb, 160, 3, 2, 2, kSwish, true, 4},      {4, kIrb, 288, 3, 1, 5, kRelu, false, 5},
    {1, kIrb, 448, 3, 2, 4, kRelu, true, 6},       {3, kIrb, 448, 3, 1, 4, kRelu, true, 6},
    {1, kTail, 1280, 3, 1, 1, kRelu, false, 7},
};

constexpr Rows kGpunet2[] = {
    {1, kHead, 32, 3, 1, 1, kSwish, false, 0},      {3, kConv, 32, 3, 1, 1, kRelu, false, 1},
    {1, kFusedIrb, 32, 5, 2, 6, kSwish, true, 2},   {1, kFusedIrb, 112, 3, 2, 3, kSwish, false, 3},
    {2, kFusedIrb, 112, 3, 1, 3, kSwish, false, 3}, {1, kIrb, 144, 3, 2, 6, kSwish, false, 4},
    {5, kIrb, 144, 3, 1, 6, kSwish, false, 4},      {4, kIrb, 160, 5, 1, 3, kRelu, false, 5},
    {1, kIrb, 224, 3, 2, 3, kSwish, true, 6},       {7, kIrb, 224, 3, 1, 3, kSwish, true, 6},
    {7, kIrb, 832, 5, 1, 2, kRelu, false, 7},       {1, kTail, 1280, 3, 1, 1, kRelu, false, 8},
};

constexpr Rows kGpunetP0[] = {
    {1, kHead, 32, 3, 1, 1, kRelu, false, 0},    {2, kConv, 32, 3, 1, 1, kRelu, false, 1},
    {1, kConv, 64, 3, 2, 1, kRelu, false, 2},    {1, kIrb, 96, 3, 2, 8, kRelu, false, 3},
    {2, kIrb, 96, 3, 1, 7.67, kRelu, false, 3},  {1, kIrb, 256, 3, 2, 7.67, kRelu, false, 4},
    {1, kIrb, 256, 5, 1, 4.25, kRelu, false, 4}, {1, kIrb, 256, 3, 1, 4.75, kRelu, false, 4},
    {1, kIrb, 704, 3, 2, 8, kRelu, false, 5},    {1, kIrb, 704, 5, 1, 3.82, kRelu, false, 5},
    {1, kIrb, 704, 3, 1, 3.36, kRelu, false, 5}, {1, kIrb, 704, 3, 1, 2.55, kRelu, false, 5},
    {1, kIrb, 704, 3, 2, 5.73, kRelu, false, 6}, {1, kTail, 1984, 3, 1, 1, kRelu, false, 7},
};

constexpr Rows kGpunetP1[] = {
    {1, kHead, 32, 3, 1, 1, kRelu, false, 0},    {2, kConv, 32, 3, 1, 1, kRelu, false, 1},
    {1, kConv, 64, 5, 2, 1, kRelu, false, 2},    {2, kIrb, 64, 3, 1, 8, kRelu, false, 2},
    {1, kIrb, 96, 5, 2, 8, kRelu, false, 3},     {1, kIrb, 96, 5, 1, 8, kRelu, false, 3},
    {1, kIrb, 256, 5, 2, 8, kRelu, false, 4},    {1, kIrb, 256, 5, 1, 7.5, kRelu, false, 4},
    {1, kIrb, 256, 3, 1, 7.88, kRelu, false, 4}, {1, kIrb, 704, 5, 2, 7.88, kRelu, false, 5},
    {1, kIrb, 704, 5, 1, 8, kRelu, false, 5},    {1, kIrb, 704, 3, 1, 7.41, kRelu, false, 5},
    {1, kIrb, 704, 5, 1, 8, kRelu, false, 5},    {1, kIrb, 704, 5, 2, 7.95, kRelu, false, 6},
    {1, kTail, 1984, 3, 1, 1, kRelu, false, 7},
};

constexpr Rows kGpunetD1[] = {
    {1, kHead, 33, 3, 1, 1, kRelu, false, 0}, {1, kIrb, 33, 3, 1, 1, kRelu, false, 0},
    {1, kIrb, 44, 3, 2, 3, kRelu, false, 1},  {1, kIrb, 44, 5, 1, 4, kRelu, false, 1},
    {1, kIrb, 44, 3, 1, 3, kRelu, false, 1},  {1, kIrb, 67, 5, 2, 4, kRelu, false, 2},
    {1, kIrb, 67, 5, 1, 4, kRelu, false, 2},  {1, kIrb, 67, 3, 1, 6, kRelu, false, 2},
    {1, kIrb, 67, 5, 1, 3, kRelu, false, 2},  {1, kIrb, 134, 7, 2, 6, kRelu, false, 3},
    {1, kIrb, 134, 5, 1, 6, kRelu, false, 3}, {1, kIrb, 134, 3, 1, 3, kRelu, false, 3},
    {1, kIrb, 134, 5, 1, 4, kRelu, false, 3}, {1, kIrb, 190, 3, 1, 6, kRelu, false, 3},
    {1, kIrb, 190, 5, 1, 6, kRelu, false, 3}, {1, kIrb, 190, 7, 1, 6, kRelu, false, 3},
    {1, kIrb, 190, 3, 1, 4, kRelu, false, 3}, {1, kIrb, 268, 3, 2, 6, kRelu, false, 4},
    {1, kIrb, 268, 3, 1, 6, kRelu, false, 4}, {1, kIrb, 268, 5, 1, 6, kRelu, false, 4},
    {3, kIrb, 268, 3, 1, 3, kRelu, false, 4}, {1, kTail, 1984, 3, 1, 1, kRelu, false, 5},
};

constexpr Rows kGpunetD2[] = {
    {1, kHeadLarge, 48, 3, 1, 1, kRelu, false, 0}, {1, kIrb, 48, 3, 1, 1, kRelu, false, 0},
    {1, kIrb, 64, 3, 2, 3, kRelu, false, 1},       {1, kIrb, 64, 5, 1, 4, kRelu, false, 1},
    {1, kIrb, 64, 3, 1, 3, kRelu, false, 1},       {1, kIrb, 96, 5, 2, 4, kRelu, false, 2},
    {1, kIrb, 96, 5, 1, 4, kRelu, false, 2},       {1, kIrb, 96, 3, 1, 6, kRelu, false, 2},
    {1, kIrb, 96, 5, 1, 3, kRelu, false, 2},       {1, kIrb, 192, 7, 2, 6, kRelu, false, 3},
    {1, kIrb, 192, 5, 1, 6, kRelu, false, 3},      {1, kIrb, 192, 3, 1, 3, kRelu, false, 3},
    {2, kIrb, 192, 5, 1, 4, kRelu, false, 3},      {1, kIrb, 272, 3, 1, 6, kRelu, false, 3},
    {1, kIrb, 272, 5, 1, 6, kRelu, false, 3},      {1, kIrb, 272, 7, 1, 6, kRelu, false, 3},
    {1, kIrb, 272, 5, 1, 6, kRelu, false, 3},      {1, kIrb, 272, 3, 1, 4, kRelu, false, 3},
    {1, kIrb, 384, 3, 2, 6, kRelu, false, 4},      {1, kIrb, 384, 3, 1, 6, kRelu, false, 4},
    {1, kIrb, 384, 5, 1, 6, kRelu, false, 4},      {4, kIrb, 384, 3, 1, 3, kRelu, false, 4},
    {1, kTail, 1984, 3, 1, 1, kRelu, false, 5},
};

struct Released {
  std::string_view name;
  int resolution;
  bool distill;
  std::span<const Rows> rows;
};

constexpr Released kReleased[] = {
    {"gpunet_0", 320, false, kGpunet0},   {"gpunet_1", 288, false, kGpunet1},
    {"gpunet_2", 384, false, kGpunet2},   {"gpunet_p0", 224, false, kGpunetP0},
    {"gpunet_p1", 224, false, kGpunetP1}, {"gpunet_d1", 456, true, kGpunetD1},
    {"gpunet_d2", 528, true, kGpunetD2},
};

}  // namespace

std::optional<GpunetFile> ReleasedGpunet(std::string_view name) {
  for (const Released& released : kReleased) {
    if (released.name != name) continue;
    GpunetFile file;
    file.resolution = released.resolution;
    file.distill = released.distill;
    for (const Rows& rows : released.rows) {
      GpunetRow row{.type = rows.type,
                    .out_channels = rows.out_channels,
                    .kernel = rows.kernel,
                    .stride = rows.stride,
                    .expansion = rows.expansion,
                    .act = rows.act,
                    .use_se = rows.use_se,
                    .stage = rows.stage,
                    .where = std::string(name)};
      if (rows.type == kTail) row.classes = 1000;
      file.rows.insert(file.rows.end(), static_cast<size_t>(rows.repeat), row);
    }
    return file;
  }
  return std::nullopt;
}

}  // namespace lathe::net
