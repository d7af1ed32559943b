#include "space/candidates.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <mutex>

#include "base/error.h"
#include "base/parallel.h"
#include "space/vector_code.h"

namespace lathe::space {
namespace {

constexpr size_t kBlock = SobolCandidates::kBlock;
constexpr uint64_t kBlocksPerTask = 512;

LATHE_VECTOR_CODE void PickChoices(const uint32_t* __restrict coordinates, uint32_t count,
                                   int32_t* __restrict choices) {
  for (size_t i = 0; i < kBlock; ++i) {
    choices[i] = static_cast<int32_t>((uint64_t{coordinates[i]} * count) >> 32);
  }
}

LATHE_VECTOR_CODE void AddScaled(const int32_t* __restrict values, int32_t scale,
                                 int32_t* __restrict sums) {
  for (size_t i = 0; i < kBlock; ++i) sums[i] += values[i] * scale;
}

struct StepTables {
  const double* first;
  const double* rest;
  const int32_t* next;
  const int32_t* skip;
  const int32_t* layers;
  int32_t filters, variants, next_layers;
  double skip_weight;
};

LATHE_VECTOR_CODE void StepStage(const StepTables& tables, const int32_t* __restrict filter,
                                 const int32_t* __restrict layers_index,
                                 const int32_t* __restrict variant, int32_t* __restrict state,
                                 double* __restrict latency) {
  const StepTables t = tables;
  for (size_t i = 0; i < kBlock; ++i) {
    const int32_t first = (state[i] * t.filters + filter[i]) * t.variants + variant[i];
    const int32_t after = t.next[first];
    const double more = t.layers[layers_index[i]] - 1;
    latency[i] += t.first[first] + more * t.rest[after * t.variants + variant[i]];
    state[i] = after;
  }
}

// The same where a later stage shares this one's number of layers.
LATHE_VECTOR_CODE void StepSharedStage(const StepTables& tables, const int32_t* __restrict filter,
                                       const int32_t* __restrict layers_index,
                                       const int32_t* __restrict variant, int32_t* __restrict state,
                                       double* __restrict latency) {
  const StepTables t = tables;
  for (size_t i = 0; i < kBlock; ++i) {
    const int32_t first = (state[i] * t.filters + filter[i]) * t.variants + variant[i];
    const int32_t after = t.next[first * t.next_layers + layers_index[i]];
    const double more = t.layers[layers_index[i]] - 1;
    latency[i] += t.first[first] + more * t.rest[after * t.variants + variant[i]];
    state[i] = after;
  }
}

// The same where the stage may have no layer.
LATHE_VECTOR_CODE void StepOptionalStage(const StepTables& tables, const int32_t* __restrict filter,
                                         const int32_t* __restrict layers_index,
                                         const int32_t* __restrict variant,
                                         int32_t* __restrict state, double* __restrict latency,
                                         double* __restrict weight) {
  const StepTables t = tables;
  for (size_t i = 0; i < kBlock; ++i) {
    const int32_t first = (state[i] * t.filters + filter[i]) * t.variants + variant[i];
    const int32_t after = t.next[first];
    const int32_t layers = t.layers[layers_index[i]];
    const double more = layers - 1;
    const double cost = t.first[first] + more * t.rest[after * t.variants + variant[i]];
    const int32_t skipped = t.skip[state[i]];
    latency[i] += layers == 0 ? 0.0 : cost;
    weight[i] *= layers == 0 ? t.skip_weight : 1.0;
    state[i] = layers == 0 ? skipped : after;
  }
}

LATHE_VECTOR_CODE void AddTail(const double* __restrict tail, const int32_t* __restrict state,
                               double* __restrict latency) {
  for (size_t i = 0; i < kBlock; ++i) latency[i] += tail[state[i]];
}

// Eight sums side by side: a fixed order, whatever the vector's width.
LATHE_VECTOR_CODE SobolCandidates::BucketCount CountBelow(const double* __restrict latency,
                                                          const double* __restrict weight,
                                                          double edge) {
  constexpr size_t kLanes = 8;
  std::array<double, kLanes> weights{};
  std::array<int64_t, kLanes> points{};
  for (size_t i = 0; i < kBlock; i += kLanes) {
    for (size_t k = 0; k < kLanes; ++k) {
      const bool below = latency[i + k] < edge;
      points[k] += below ? 1 : 0;
      weights[k] += below ? weight[i + k] : 0.0;
    }
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
  const auto latency = [](const Cost& cost) { return static_cast<double>(cost.latency_ps); };
  for (const StageTable& table : tables.stages()) {
    Kernel& kernel = kernels_.emplace_back();
    std::ranges::transform(table.first, std::back_inserter(kernel.first), latency);
    std::ranges::transform(table.rest, std::back_inserter(kernel.rest), latency);
    kernel.next = table.next;
    kernel.skip = table.skip;
    kernel.layers.assign(table.layers.begin(), table.layers.end());
    kernel.filters = table.filters;
    kernel.variants = table.variants;
    kernel.next_layers = table.next_by_layers ? static_cast<int>(table.layers.size()) : 1;
    kernel.may_skip = table.layers.front() == 0;
    const auto stage = static_cast<int>(kernels_.size()) - 1;
    for (const Gene& gene : tables.space().genes()) {
      if (!kernel.may_skip || gene.stage != stage || gene.kind == GeneKind::kLayers) continue;
      kernel.skip_weight /= static_cast<double>(gene.choices.size());
    }
  }
  std::ranges::transform(tables.tail(), std::back_inserter(tail_), latency);
}

struct SobolCandidates::Columns {
  alignas(64) std::array<int32_t, kBlock> state, variant, none{};
  alignas(64) std::array<uint32_t, kBlock> coordinates;
};

void SobolCandidates::Evaluate(uint64_t block, Block& out) const {
  const std::vector<Gene>& genes = tables_.space().genes();
  out.choices.resize(genes.size() * kBlock);
  out.latency_ps.assign(kBlock, 0.0);
  out.weight.assign(kBlock, 1.0);
  Columns columns;
  const auto choices_of = [&](int gene) {
    return gene < 0 ? columns.none.data() : out.choices.data() + static_cast<size_t>(gene) * kBlock;
  };
  for (size_t g = 0; g < genes.size(); ++g) {
    sequence_.Block(block, g, columns.coordinates.data());
    PickChoices(columns.coordinates.data(), static_cast<uint32_t>(genes[g].choices.size()),
                choices_of(static_cast<int>(g)));
  }
  std::copy_n(choices_of(tables_.space().resolution().gene), kBlock, columns.state.begin());
  for (size_t s = 0; s < kernels_.size(); ++s) {
    const StageTable& table = tables_.stages()[s];
    columns.variant.fill(0);
    for (const StageTable::Axis& axis : table.variant_axes) {
      if (axis.gene >= 0) AddScaled(choices_of(axis.gene), axis.stride, columns.variant.data());
    }
    Step(kernels_[s], choices_of(table.filters_gene), choices_of(table.layers_gene), columns, out);
  }
  AddTail(tail_.data(), columns.state.data(), out.latency_ps.data());
}

void SobolCandidates::Step(const Kernel& kernel, const int32_t* filter, const int32_t* layers_index,
                           Columns& columns, Block& out) {
  const StepTables tables{kernel.first.data(), kernel.rest.data(),   kernel.next.data(),
                          kernel.skip.data(),  kernel.layers.data(), kernel.filters,
                          kernel.variants,     kernel.next_layers,   kernel.skip_weight};
  const int32_t* variant = columns.variant.data();
  int32_t* state = columns.state.data();
  double* latency = out.latency_ps.data();
  if (kernel.may_skip) {
    StepOptionalStage(tables, filter, layers_index, variant, state, latency, out.weight.data());
  } else if (kernel.next_layers > 1) {
    StepSharedStage(tables, filter, layers_index, variant, state, latency);
  } else {
    StepStage(tables, filter, layers_index, variant, state, latency);
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
    const auto add = [&](size_t at, double edge) {
      const BucketCount below = CountBelow(block.latency_ps.data(), block.weight.data(), edge);
      mine[at].points += below.points;
      mine[at].weight += below.weight;
    };
    for (size_t b = begin; b < end; ++b) {
      Evaluate(b, block);
      if (const uint64_t left = points - b * kBlock; left < kBlock) {
        std::fill(block.latency_ps.begin() + static_cast<std::ptrdiff_t>(left),
                  block.latency_ps.end(), HUGE_VAL);  // in no bucket
      }
      for (size_t e = 0; e < edges_ps.size(); ++e) add(e, static_cast<double>(edges_ps[e]));
      add(edges_ps.size(), std::numeric_limits<double>::max());
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
