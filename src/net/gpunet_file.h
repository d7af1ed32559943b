// NVIDIA's GPUNet description, one row per entry of its JSON list, and what NVIDIA's builder makes
// of it. Private to this module: the file reader, the writer and the built-in networks share it.
// Source: NVIDIA/DeepLearningExamples,
// PyTorch/Classification/GPUNet/models/gpunet_{builder,modules}.py.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "net/network.h"

namespace lathe::net {

enum class GpunetType { kHead, kHeadLarge, kConv, kIrb, kFusedIrb, kTail };

struct GpunetRow {
  GpunetType type = GpunetType::kConv;
  int out_channels = 0;
  int kernel = 3;
  int stride = 1;
  double expansion = 1;
  Activation act = Activation::kRelu;
  bool use_se = false;
  int groups = 1;
  int stage = 0;
  int classes = 0;    // tail
  std::string where;  // "FILE:LINE" for messages
};

// `distill` selects between the builder's two families: GPUNet-D1 and -D2 are true, all others
// (also -P0 and -P1) false.
struct GpunetFile {
  int resolution = 0;
  int channels = 3;
  bool distill = false;
  std::vector<GpunetRow> rows;  // without the data row
};

// The network as NVIDIA's builder makes it, with several layers for a head_large; not validated.
// Throws kInput, naming the row's position.
Network BuildGpunet(const GpunetFile& file, std::string_view name);

// Reads the JSON list, without validating the network; `source` names the file in messages, `name`
// the network.
Network ParseGpunet(std::string_view json, std::string_view source, std::string_view name);

// The whole list of a built-in network, or nullopt: "gpunet_0", ... (net/zoo_gpunet.cc).
std::optional<GpunetFile> ReleasedGpunet(std::string_view name);

}  // namespace lathe::net
