// A search space read from TOML: stages with choices, and the integer encoding of one candidate.
// For the GPUNet space the encoding has exactly the 41 integers of the GPUNet post's Table 2, in
// its order. Immutable after loading; thread-safe.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "net/network.h"

namespace lathe::space {

// Real values, not indices: {224, 32, 3, 1, 2, ...}. One canonical encoding per network: genes of a
// stage with zero layers hold the first choice.
using Encoding = std::vector<int>;

enum class GeneKind { kResolution, kFilters, kKernel, kExpansion, kSe, kActivation, kLayers };
std::string_view Name(GeneKind kind);  // "filters": the key in the space file

struct Gene {
  std::string name;  // "resolution", "stage2.kernel": also the parameter name in the study store
  GeneKind kind;
  int stage = -1;            // -1: resolution
  std::vector<int> choices;  // ascending; activation: net::Activation values; layers: counts
  bool ordinal = true;       // false for activation
};

// A choice as people write it ("5", "swish") and back. Parsing throws kInput naming the gene, its
// choices and the nearest.
std::string FormatChoice(const Gene& gene, int choice);
int ParseChoice(const Gene& gene, std::string_view text);

// One property of a stage: a gene, or a value fixed by the file.
struct Attribute {
  int gene = -1;            // index into genes(); -1: fixed. Several stages may share a gene.
  std::vector<int> values;  // the gene's choices, or the one fixed value

  int At(std::span<const int> encoding) const {
    return gene < 0 ? values.front() : encoding[static_cast<size_t>(gene)];
  }
};

// Values of all properties of one stage.
struct StageValues {
  int filters = 0, kernel = 0, expansion = 0, se = 0;
  net::Activation activation = net::Activation::kRelu;
  int layers = 0;
};

// A run of equal layers; the first one carries the stride and the change of channels.
struct Stage {
  net::Op op = net::Op::kConv;
  int stride = 1;
  Attribute filters, kernel, expansion, se, activation,
      layers;  // conv: expansion and se are fixed to 0

  const Attribute& operator[](GeneKind kind) const;
  Attribute& operator[](GeneKind kind);
  StageValues At(std::span<const int> encoding) const;
};

class SearchSpace {
 public:
  struct Impl;  // shared by the sources of this module

  // Throw kInput with file, line, key and nearest name: unknown keys, contradictory or empty
  // ranges, a stage that shrinks the image below one pixel, zero layers where the stride is not 1,
  // widths that would need gigabytes.
  static SearchSpace Load(const std::filesystem::path& path);
  static SearchSpace Parse(std::string_view toml, std::string_view name);

  // The same space with some genes allowed fewer values: gene name -> allowed subset. Encodings
  // keep their length and order. Throws kInput naming the nearest gene or value.
  SearchSpace Restrict(const std::map<std::string, std::vector<int>>& choices) const;

  const std::string& name() const;
  const std::vector<Gene>& genes() const;
  const std::vector<Stage>& stages() const;
  const Attribute& resolution() const;
  size_t GeneIndex(std::string_view gene) const;  // throws kInput with the nearest name

  double size_log10() const;  // log10 of the number of canonical encodings (GPUNet: 3.17e23)
  double raw_size_log10()
      const;  // counting encodings that differ only in inactive genes, too (GPUNet: 3.61e23)

  // The network of an encoding for images with `channels` channels and `classes` classes. Throws
  // kInput naming the gene and its choices when a value is not allowed.
  struct Head {
    int channels = 3;
    int classes = 1000;
  };
  net::Network Decode(std::span<const int> encoding, Head head) const;
  // One layer of a stage as Decode makes it (`first`: of the stage), and the tail. For walking
  // stages without whole networks.
  net::Layer MakeLayer(size_t stage, const StageValues& values, net::Shape in, bool first) const;
  net::Layer MakeTail(net::Shape in, int classes) const;
  // Every layer that networks of this space can have at one resolution, stage by stage, each once
  // per stage; tails come last.
  std::vector<net::Layer> DistinctLayers(int resolution, Head head) const;

  // The encoding of a network of this space (any head). Throws kInput naming the first layer and
  // value that do not fit. Where layers could belong to either of two stages, Layer::stage decides
  // if it leads to a fit.
  Encoding Encode(const net::Network& network) const;
  // A canonical encoding close to any network: layers go to the stages that suit them best, values
  // to the nearest choice.
  Encoding Nearest(const net::Network& network) const;

  bool Contains(std::span<const int> encoding) const;
  // Throws kInput naming the gene, the value and its choices unless Contains(encoding).
  void Check(std::span<const int> encoding) const;
  // Sets inactive genes to their first choice.
  Encoding Canonical(Encoding encoding) const;
  // Whether a gene has an effect given the others (false where its stage has zero layers).
  bool IsActive(std::span<const int> encoding, size_t gene) const;

  Encoding Sample(Random& random) const;  // uniform over genes, canonical
  // All encodings that differ from `encoding` in one active gene, canonical and without `encoding`
  // itself.
  std::vector<Encoding> Neighbours(std::span<const int> encoding) const;

 private:
  explicit SearchSpace(std::shared_ptr<const Impl> impl);
  std::shared_ptr<const Impl> impl_;
};

}  // namespace lathe::space
