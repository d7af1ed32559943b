// Tables of timed convolutions for tests: one after a known law, and the published one where it is.
#pragma once

#include <cmath>
#include <filesystem>
#include <vector>

#include "latency/import_conv_file.h"

namespace lathe::latency {

inline const std::filesystem::path kV100Table =
    std::filesystem::path(LATHE_SOURCE_DIR) /
    "../shared/data/v100-tensorrt-conv/conv_data.out.fp16";

// 10 us, a microsecond per 4 million multiply-accumulates, and one per 300,000 values moved; the
// widths bend it a little.
inline double LawUs(const Part& part) {
  const double us = 10 + Macs(part) / 4e6 +
                    (Values(part.in) + Values(part.out) * (part.add ? 2 : 1) + Weights(part)) / 3e5;
  return us * (1 + 0.05 * std::sin(std::log(part.in.c)));
}

// Widths and images on a grid like the published one.
inline std::vector<ConvTiming> LawTimings() {
  std::vector<ConvTiming> timings;
  for (const bool depthwise : {false, true}) {
    for (const int kernel : {1, 3, 5}) {
      for (const int stride : {1, 2}) {
        for (const bool add : {false, true}) {
          if (add && depthwise) continue;
          for (const int image : {5, 6, 8, 12, 20, 32, 56, 96, 164, 280}) {
            for (const int in : {3, 16, 32, 64, 96, 192, 384, 768, 1536, 3072}) {
              for (const double ratio : {0.25, 0.5, 1.0, 2.0, 4.0}) {
                if (depthwise && ratio != 1) continue;
                const int side = (image + stride - 1) / stride;
                ConvTiming timing;
                timing.part = {.kind = net::NodeKind::kConv,
                               .in = {in, image, image},
                               .out = {std::max(8, static_cast<int>(in * ratio)), side, side},
                               .kernel = kernel,
                               .stride = stride,
                               .groups = depthwise ? in : 1,
                               .add = add};
                if (depthwise) timing.part.out.c = in;
                timing.latency_us = LawUs(timing.part);
                timings.push_back(timing);
              }
            }
          }
        }
      }
    }
  }
  return timings;
}

}  // namespace lathe::latency
