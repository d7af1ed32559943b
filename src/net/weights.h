// Host-side weights of a network: float32 tensors by name (net/graph.h names them), and the
// safetensors files they live in.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "net/graph.h"

namespace lathe::net {

struct Tensor {
  std::vector<int64_t> shape;
  std::vector<float> values;  // row-major
};

struct Weights {
  std::map<std::string, Tensor, std::less<>> tensors;
  std::map<std::string, std::string> metadata;  // safetensors __metadata__

  const Tensor& at(std::string_view name) const;  // throws kInput naming the tensor
};

// Throws kInput unless `weights` has exactly the tensors of the graph with the right shapes and
// finite values; names the first that is missing, left over, misshapen (expected and found) or not
// finite.
void CheckWeights(const Graph& graph, const Weights& weights);

// Near-normal convolutions and linear layers (of He's scale after a ReLU, and elsewhere so that
// values stay of order one), zero biases, unit norms: what timing needs, and a deterministic start
// for tests.
Weights RandomWeights(const Graph& graph, uint64_t seed);

// safetensors (F32 little endian; F16 and BF16 are widened on reading). Reading validates the
// header: sizes, overlapping or out-of-range offsets, duplicate names; throws kInput naming the
// file and tensor. Writing is atomic.
Weights ReadSafetensors(const std::filesystem::path& path);
void WriteSafetensors(const std::filesystem::path& path, const Weights& weights);

}  // namespace lathe::net
