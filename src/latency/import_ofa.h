// Reads latency tables of ProxylessNAS and Once-for-All (mit-han-lab), YAML with a block per key:
//   expanded_conv-input:20x20x48-output:10x10x96-expand:144-kernel:3-stride:2-idskip:0-se:0-hs:1:
//     {count: 66, mean: 0.3819, std: 0.0076}        # milliseconds
// They name layers as their networks have them: an inverted bottleneck (expanded_conv), the first
// 3x3 convolution (Conv), and the pieces of the tail, of which whole tails are put together:
//   ProxylessNAS   Conv_1 (1x1) + Logits (pool and classifier), ReLU6, `expand` a ratio
//   Once-for-All   Conv_1 + AvgPool2D + Conv_2 (hidden) + Logits, `expand` the width, `se` and `hs`
// A table is Once-for-All's if its keys have `se`. Squeeze-and-excitation is MobileNetV3's: a
// quarter of the width, rounded to a multiple of 8, ReLU and hard sigmoid.
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "latency/lut.h"

namespace lathe::latency {

struct OfaTable {
  std::map<LayerKey, LutEntry> entries;
  int64_t keys = 0;  // in the files
  // Keys that are no layer of ours, by the reason why.
  std::map<std::string, std::vector<std::string>> left_out;
};

// One table, often in a file per resolution. Blocking. Throws kInput naming file and line: no YAML,
// a latency that is none, a key with two latencies; and if no key is a layer of ours.
OfaTable ReadOfaTable(std::span<const std::filesystem::path> paths);

}  // namespace lathe::latency
