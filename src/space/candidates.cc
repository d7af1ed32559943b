#include "space/candidates.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <mutex>

#include "base/error.h"
#include "base/parallel.h"
#include "space/vector_code.h"

namespace lathe::space {
namespace {

constexpr size_t kBlock = SobolCandidates::kBlock;
constexpr uint64_t kBlocksPerTask = 512;
constexpr size_t kAhead = 24;  // candidates whose table entries are on their way

constexpr int kFirstBits = 48;
constexpr uint64_t kFirstMask = (uint64_t{1} << kFirstBits) - 1;

// Choices of coordinates that are still to be XORed with `shift`.
LATHE_VECTOR_CODE void PickOfPowerOfTwo(const uint32_t* __restrict coordinates, uint32_t shift,
                                        int bits, int32_t* __restrict choices) {
  for (size_t i = 0; i < kBlock; ++i) {
    choices[i] = static_cast<int32_t>(((coordinates[i] ^ shift) >> 1) >> (31 - bits));
  }
}

LATHE_VECTOR_CODE void PickChoices(const uint32_t* __restrict coordinates, uint32_t shift,
                                   uint32_t count, int32_t* __restrict choices) {
  for (size_t i = 0; i < kBlock; ++i) {
    choices[i] = static_cast<int32_t>((uint64_t{coordinates[i] ^ shift} * count) >> 32);
  }
}

struct Scaled {
  const int32_t* values;
  int32_t scale;
};

LATHE_VECTOR_CODE void AddScaled(const Scaled& a, const Scaled& b, int32_t* __restrict sums) {
  const int32_t* x = a.values;
  const int32_t* y = b.values;
  const int32_t x_scale = a.scale, y_scale = b.scale;
  for (size_t i = 0; i < kBlock; ++i) sums[i] += x[i] * x_scale + y[i] * y_scale;
}

LATHE_VECTOR_CODE void Scale(const Scaled& a, int32_t plus, int32_t* __restrict out) {
  const int32_t* x = a.values;
  const int32_t scale = a.scale;
  for (size_t i = 0; i < kBlock; ++i) out[i] = x[i] * scale + plus;
}

// Where a stage has no layers, the last entry of a state stands for that.
LATHE_VECTOR_CODE void ChooseEmpty(const int32_t* __restrict layers,
                                   const int32_t* __restrict state, int32_t stride,
                                   int32_t* __restrict entry) {
  for (size_t i = 0; i < kBlock; ++i) {
    const int32_t empty = state[i] * stride + stride - 1;
    entry[i] = layers[i] == 0 ? empty : entry[i];
  }
}

LATHE_VECTOR_CODE void WeighEmpty(const int32_t* __restrict layers, double empty,
                                  double* __restrict weight) {
  for (size_t i = 0; i < kBlock; ++i) weight[i] *= layers[i] == 0 ? empty : 1.0;
}

LATHE_VECTOR_CODE void AddTail(const int64_t* __restrict tail, const int32_t* __restrict state,
                               int64_t* __restrict latency) {
  for (size_t i = 0; i < kBlock; ++i) latency[i] += tail[state[i]];
}

// Eight sums side by side: a fixed order, whatever the processor's vectors.
using Doubles = double __attribute__((vector_size(64)));
using Integers = int64_t __attribute__((vector_size(64)));
constexpr size_t kLanes = 8;

LATHE_VECTOR_CODE SobolCandidates::BucketCount CountBelow(const int64_t* latency,
                                                          const double* weight, int64_t edge) {
  Doubles weights{};
  Integers points{};
  for (size_t i = 0; i < kBlock; i += kLanes) {
    Integers x;
    Doubles w;
    std::memcpy(&x, latency + i, sizeof(x));
    std::memcpy(&w, weight + i, sizeof(w));
    const Integers below = x < edge;  // -1 where true
    points -= below;
    weights += below ? w : Doubles{};
  }
  SobolCandidates::BucketCount count;
  for (size_t k = 0; k < kLanes; ++k) {
    count.points += points[k];
    count.weight += weights[k];
  }
  return count;
}

}  // namespace

SobolCandidates::SobolCandidates(const CostTables& tables, Scramble scramble, uint64_t seed)
    : tables_(tables), sequence_(tables.space().genes().size(), scramble, seed) {
  for (size_t s = 0; s < tables.stages().size(); ++s) kernels_.push_back(KernelOf(s));
  for (const Cost& cost : tables.tail()) tail_.push_back(cost.latency_ps);
}

SobolCandidates::Entry SobolCandidates::EntryOf(int32_t next, int64_t first_ps, int64_t rest_ps) {
  static_assert(CostTables::kMostStates <= 1 << (64 - kFirstBits));
  static_assert(CostTables::kMostLayerUs * kPsPerUs < 0x1p48);
  return {static_cast<uint64_t>(next) << kFirstBits | static_cast<uint64_t>(first_ps), rest_ps};
}

SobolCandidates::Kernel SobolCandidates::KernelOf(size_t stage) const {
  const StageTable& table = tables_.stages()[stage];
  Kernel kernel;
  kernel.layers.assign(table.layers.begin(), table.layers.end());
  for (size_t i = 2; i < table.layers.size(); ++i) {
    const bool even = table.layers[i] - table.layers[i - 1] == table.layers[1] - table.layers[0];
    kernel.even_layers = kernel.even_layers && even;
  }
  kernel.may_be_empty = table.layers.front() == 0;
  for (const Gene& gene : tables_.space().genes()) {
    const bool here = gene.stage == static_cast<int>(stage) && gene.kind != GeneKind::kLayers;
    if (kernel.may_be_empty && here) {
      kernel.empty_weight /= static_cast<double>(gene.choices.size());
    }
  }
  const int by_layers = table.next_by_layers ? static_cast<int>(table.layers.size()) : 1;
  const auto add = [&](int gene, int32_t stride) {
    if (gene >= 0) kernel.axes.push_back({gene, stride});
  };
  add(table.filters_gene, table.variants * by_layers);
  for (const StageTable::Axis& axis : table.variant_axes) add(axis.gene, axis.stride * by_layers);
  if (table.next_by_layers) add(table.layers_gene, 1);

  kernel.stride = table.filters * table.variants * by_layers + (kernel.may_be_empty ? 1 : 0);
  for (int32_t before = 0; before < table.states_before; ++before) {
    for (int way = 0; way < table.filters * table.variants; ++way) {
      const size_t first = table.FirstIndex(before, way / table.variants, way % table.variants);
      for (int l = 0; l < by_layers; ++l) {
        const int32_t next = table.next[table.NextIndex(first, l)];
        if (next == StageTable::kNone) {  // no candidate is here
          kernel.entries.push_back({0, 0});
          continue;
        }
        const size_t rest = table.RestIndex(next, way % table.variants);
        kernel.entries.push_back(
            EntryOf(next, table.first[first].latency_ps, table.rest[rest].latency_ps));
      }
    }
    if (kernel.may_be_empty) {
      kernel.entries.push_back(EntryOf(table.skip[static_cast<size_t>(before)], 0, 0));
    }
  }
  return kernel;
}

// One number per candidate of a block.
struct SobolCandidates::Columns {
  alignas(64) std::array<int32_t, kBlock> state, entry, layers;
  alignas(64) std::array<uint32_t, kBlock> coordinates;
};

void SobolCandidates::Evaluate(uint64_t block, Block& out) const {
  const std::vector<Gene>& genes = tables_.space().genes();
  out.choices.resize(genes.size() * kBlock);
  out.latency_ps.assign(kBlock, 0);
  out.weight.assign(kBlock, 1.0);
  Columns columns;
  for (size_t g = 0; g < genes.size(); ++g) {
    SobolSequence::Shifted view = sequence_.View(block, g);
    if (view.coordinates == nullptr) {
      sequence_.Block(block, g, columns.coordinates.data());
      view.coordinates = columns.coordinates.data();
    }
    const auto count = static_cast<uint32_t>(genes[g].choices.size());
    int32_t* choices = out.choices.data() + g * kBlock;
    if (std::has_single_bit(count)) {
      PickOfPowerOfTwo(view.coordinates, view.shift, std::countr_zero(count), choices);
    } else {
      PickChoices(view.coordinates, view.shift, count, choices);
    }
  }
  const int resolution = tables_.space().resolution().gene;
  columns.state.fill(0);
  if (resolution >= 0) std::copy_n(ChoicesOf(out, resolution), kBlock, columns.state.begin());
  for (size_t s = 0; s < kernels_.size(); ++s) {
    FindLayers(s, out, columns);
    Step(kernels_[s], columns, out);
  }
  AddTail(tail_.data(), columns.state.data(), out.latency_ps.data());
}

void SobolCandidates::FindLayers(size_t stage, const Block& block, Columns& columns) const {
  const std::vector<int32_t>& layers = kernels_[stage].layers;
  const int gene = tables_.stages()[stage].layers_gene;
  if (gene < 0) {
    columns.layers.fill(layers.front());
    return;
  }
  const int32_t* index = ChoicesOf(block, gene);
  if (kernels_[stage].even_layers) {
    const int32_t step = layers.size() > 1 ? layers[1] - layers[0] : 0;
    return Scale({index, step}, layers.front(), columns.layers.data());
  }
  for (size_t i = 0; i < kBlock; ++i) columns.layers[i] = layers[static_cast<size_t>(index[i])];
}

// Takes all candidates of a block through one stage. Plain loads of whole entries are faster here
// than vectors gathered from their parts.
void SobolCandidates::Step(const Kernel& kernel, Columns& columns, Block& block) {
  const Scaled state = {columns.state.data(), kernel.stride};
  Scale(state, 0, columns.entry.data());
  for (size_t axis = 0; axis < kernel.axes.size(); axis += 2) {
    const auto scaled = [&](size_t i) {
      return i < kernel.axes.size()
                 ? Scaled{ChoicesOf(block, kernel.axes[i].gene), kernel.axes[i].stride}
                 : Scaled{state.values, 0};
    };
    AddScaled(scaled(axis), scaled(axis + 1), columns.entry.data());
  }
  if (kernel.may_be_empty) {
    ChooseEmpty(columns.layers.data(), state.values, kernel.stride, columns.entry.data());
    WeighEmpty(columns.layers.data(), kernel.empty_weight, block.weight.data());
  }
  const Entry* entries = kernel.entries.data();
  int64_t* latency = block.latency_ps.data();
  for (size_t i = 0; i < kBlock; ++i) {
    // Large tables lie in the third-level cache; reading ahead hides most of the wait.
    __builtin_prefetch(entries + columns.entry[(i + kAhead) % kBlock]);
    const Entry entry = entries[columns.entry[i]];
    latency[i] += static_cast<int64_t>(entry.next_and_first & kFirstMask) +
                  (columns.layers[i] - 1) * entry.rest_ps;
    columns.state[i] = static_cast<int32_t>(entry.next_and_first >> kFirstBits);
  }
}

Encoding SobolCandidates::EncodingOf(const Block& block, size_t i) const {
  const std::vector<Gene>& genes = tables_.space().genes();
  Encoding encoding;
  encoding.reserve(genes.size());
  for (size_t g = 0; g < genes.size(); ++g) {
    encoding.push_back(genes[g].choices[static_cast<size_t>(block.choices[g * kBlock + i])]);
  }
  return tables_.space().Canonical(std::move(encoding));
}

std::vector<SobolCandidates::BucketCount> SobolCandidates::Count(
    uint64_t points, std::span<const int64_t> edges_ps, int threads,
    const std::function<void(uint64_t)>& on_progress) const {
  if (points > SobolSequence::kPoints) {
    throw Error(ErrorKind::kInput, "{} Sobol points; there are {}", points, SobolSequence::kPoints);
  }
  const uint64_t blocks = (points + kBlock - 1) / kBlock;
  // Below each edge, then all of them; by task, so that sums do not depend on the order of tasks.
  std::vector<std::vector<BucketCount>> by_task((blocks + kBlocksPerTask - 1) / kBlocksPerTask);
  std::mutex mutex;
  uint64_t done = 0;
  ParallelBlocks(blocks, kBlocksPerTask, threads, [&](size_t begin, size_t end) {
    Block block;
    std::vector<BucketCount> mine(edges_ps.size() + 1);
    const auto add = [&](size_t at, int64_t edge) {
      const BucketCount below = CountBelow(block.latency_ps.data(), block.weight.data(), edge);
      mine[at].points += below.points;
      mine[at].weight += below.weight;
    };
    for (size_t b = begin; b < end; ++b) {
      Evaluate(b, block);
      if (const uint64_t left = points - b * kBlock; left < kBlock) {
        std::fill(block.latency_ps.begin() + static_cast<std::ptrdiff_t>(left),
                  block.latency_ps.end(), std::numeric_limits<int64_t>::max());  // in no bucket
      }
      for (size_t e = 0; e < edges_ps.size(); ++e) add(e, edges_ps[e]);
      add(edges_ps.size(), std::numeric_limits<int64_t>::max());
    }
    by_task[begin / kBlocksPerTask] = std::move(mine);
    if (!on_progress) return;
    const std::lock_guard lock(mutex);
    done += (end - begin) * kBlock;
    on_progress(std::min(done, points));
  });
  std::vector<BucketCount> buckets(edges_ps.size() + 1);
  for (const std::vector<BucketCount>& task : by_task) {
    for (size_t e = 0; e < buckets.size(); ++e) {
      buckets[e].points += task[e].points - (e == 0 ? 0 : task[e - 1].points);
      buckets[e].weight += task[e].weight - (e == 0 ? 0 : task[e - 1].weight);
    }
  }
  return buckets;
}

double SobolCandidates::NetworksPerWeight(uint64_t points) const {
  return std::pow(10, tables_.space().raw_size_log10()) / static_cast<double>(points);
}

}  // namespace lathe::space
