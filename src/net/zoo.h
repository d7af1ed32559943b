// Known networks: the seven released GPUNets and the baselines every search is compared with.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "net/network.h"

namespace lathe::net {

struct ZooEntry {
  std::string_view name;         // "gpunet_0", "mobilenet_v2", ...
  std::string_view description;  // one line with its source
  int resolution;                // native input, px
  bool scalable;                 // takes a width multiplier (GPUNets do not)
};

// gpunet_0, gpunet_1, gpunet_2, gpunet_p0, gpunet_p1, gpunet_d1, gpunet_d2, mobilenet_v2,
// mobilenet_v3_large, mobilenet_v3_small, efficientnet_b0, efficientnet_v2_s.
std::span<const ZooEntry> Zoo();

struct ZooOptions {
  int resolution = 0;  // 0: native
  int channels = 3;    // of the image
  double width = 1.0;  // multiplier of all widths, rounded to multiples of 8 (MobileNetV2's last
                       // convolution: at least 1280)
  int classes = 1000;
};
// `name` may carry options: "mobilenet_v2@64x0.5" is 64 px at half width. Throws kInput with the
// nearest name.
Network ZooNetwork(std::string_view name, ZooOptions options = {});

}  // namespace lathe::net
