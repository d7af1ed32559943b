#include "space/subspace.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <unordered_set>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/parallel.h"

namespace lathe::space {
namespace {

constexpr size_t kBlock = SobolCandidates::kBlock;

void CheckOptions(const Stage1Options& options) {
  constexpr int64_t kMaxPoints = int64_t{1} << 26;  // 10 GB of GPUNet encodings
  if (options.points < 1 || options.points > kMaxPoints) {
    throw Error(ErrorKind::kInput, "stage 1: {} points; give 1 to {}", options.points, kMaxPoints);
  }
  if (options.threads < 1 || options.threads > 1024) {
    throw Error(ErrorKind::kInput, "stage 1: {} threads; give 1 to 1024", options.threads);
  }
  for (size_t i = 0; i < options.edges_us.size(); ++i) {
    const double edge = options.edges_us[i];
    if (!std::isfinite(edge) || (i > 0 && edge <= options.edges_us[i - 1])) {
      throw Error(ErrorKind::kInput,
                  "stage 1: latency edge {} ({} us) must be finite and above "
                  "the one before",
                  i, edge);
    }
  }
}

// Keeps the first of equal encodings.
std::vector<Candidate> Distinct(std::vector<Candidate> candidates) {
  const auto hash = [&](size_t i) {
    const Encoding& encoding = candidates[i].encoding;
    return HashBytes(
        {reinterpret_cast<const char*>(encoding.data()), encoding.size() * sizeof(encoding[0])});
  };
  const auto equal = [&](size_t a, size_t b) {
    return candidates[a].encoding == candidates[b].encoding;
  };
  std::unordered_set<size_t, decltype(hash), decltype(equal)> seen(candidates.size(), hash, equal);
  std::vector<size_t> kept;
  for (size_t i = 0; i < candidates.size(); ++i) {
    if (seen.insert(i).second) kept.push_back(i);
  }
  seen.clear();
  for (size_t i = 0; i < kept.size(); ++i) std::swap(candidates[i], candidates[kept[i]]);
  candidates.resize(kept.size());
  return candidates;
}

void AppendNumber(std::string& text, auto value) {
  char digits[32];
  text.append(digits, std::to_chars(digits, digits + sizeof(digits), value).ptr);
}

// One candidate as a record of the binary format: choices as indices, then the latency.
void AppendRecord(std::string& text, const SobolCandidates::Block& block, size_t i,
                  const SearchSpace& space, const Encoding& encoding, bool wide, bool latency) {
  for (size_t g = 0; g < encoding.size(); ++g) {
    const std::vector<int>& choices = space.genes()[g].choices;
    const auto index = static_cast<uint32_t>(
        std::lower_bound(choices.begin(), choices.end(), encoding[g]) - choices.begin());
    text += static_cast<char>(index & 0xff);
    if (wide) text += static_cast<char>(index >> 8);
  }
  if (!latency) return;
  const auto bits = std::bit_cast<uint32_t>(static_cast<float>(UsOf(block.latency_ps[i])));
  for (int byte = 0; byte < 4; ++byte) text += static_cast<char>((bits >> (8 * byte)) & 0xff);
}

void AppendRow(std::string& text, const SobolCandidates::Block& block, size_t i,
               const Encoding& encoding, bool latency) {
  for (size_t g = 0; g < encoding.size(); ++g) {
    if (g > 0) text += ',';
    AppendNumber(text, encoding[g]);
  }
  if (latency) {
    text += ',';
    AppendNumber(text, UsOf(block.latency_ps[i]));
  }
  text += '\n';
}

bool IsWide(const SearchSpace& space) {
  return std::ranges::any_of(space.genes(),
                             [](const Gene& gene) { return gene.choices.size() > 256; });
}

std::string Header(const SearchSpace& space, const StreamOptions& options) {
  std::string text;
  if (options.format == CandidateFormat::kCsv) {
    for (const Gene& gene : space.genes()) text += (text.empty() ? "" : ",") + gene.name;
    return text + (options.latency ? ",latency_us\n" : "\n");
  }
  nlohmann::ordered_json json = {
      {"format", "lathe-candidates"},  {"version", 1},
      {"space", space.name()},         {"bytes_per_choice", IsWide(space) ? 2 : 1},
      {"latency_us", options.latency}, {"genes", nlohmann::ordered_json::array()}};
  for (const Gene& gene : space.genes()) {
    json["genes"].push_back({{"name", gene.name}, {"choices", gene.choices}});
  }
  return json.dump() + "\n";
}

}  // namespace

int Stage1::BucketOf(double latency_us) const {
  return static_cast<int>(std::upper_bound(edges_us.begin(), edges_us.end(), latency_us) -
                          edges_us.begin());
}

Stage1 Categorise(const CostTables& tables, const Stage1Options& options) {
  CheckOptions(options);
  const SobolCandidates sobol(tables, options.scramble, options.seed);
  std::vector<Candidate> all(static_cast<size_t>(options.points));
  ParallelBlocks(all.size(), kBlock, options.threads, [&](size_t begin, size_t end) {
    SobolCandidates::Block block;
    sobol.Evaluate(begin / kBlock, block);
    for (size_t i = begin; i < end; ++i) {
      all[i] = {.encoding = sobol.EncodingOf(block, i - begin),
                .latency_us = UsOf(block.latency_ps[i - begin])};
    }
  });

  Stage1 stage1;
  stage1.edges_us = options.edges_us;
  stage1.candidates = Distinct(std::move(all));
  stage1.bucket_counts.assign(options.edges_us.size() + 1, 0);
  for (const Candidate& candidate : stage1.candidates) {
    ++stage1.bucket_counts[static_cast<size_t>(stage1.BucketOf(candidate.latency_us))];
  }
  return stage1;
}

void WriteCsv(const std::filesystem::path& path, const SearchSpace& space, const Stage1& stage1) {
  std::string text;
  const auto out = std::back_inserter(text);
  for (const Gene& gene : space.genes()) fmt::format_to(out, "{},", gene.name);
  fmt::format_to(out, "latency_us,bucket\n");
  for (const Candidate& candidate : stage1.candidates) {
    for (int value : candidate.encoding) fmt::format_to(out, "{},", value);
    fmt::format_to(out, "{},{}\n", candidate.latency_us, stage1.BucketOf(candidate.latency_us));
  }
  WriteFileAtomically(path, text);
}

uint64_t StreamCandidates(const std::filesystem::path& path, const SobolCandidates& candidates,
                          const StreamOptions& options) {
  const SearchSpace& space = candidates.space();
  const bool binary = options.format == CandidateFormat::kBinary, wide = IsWide(space);
  AtomicFile file(path);
  file.Write(Header(space, options));
  const uint64_t blocks = (options.points + kBlock - 1) / kBlock;
  const auto at_once = static_cast<size_t>(std::max(options.threads, 1)) * 8;
  std::vector<std::string> texts(at_once);
  std::vector<std::vector<size_t>> ends(at_once);  // of each candidate's text
  uint64_t written = 0;
  for (uint64_t first = 0; first < blocks && written < options.most; first += at_once) {
    const auto count = static_cast<size_t>(std::min<uint64_t>(at_once, blocks - first));
    ParallelBlocks(count, 1, options.threads, [&](size_t begin, size_t) {
      SobolCandidates::Block block;
      candidates.Evaluate(first + begin, block);
      texts[begin].clear();
      ends[begin].clear();
      const uint64_t left = options.points - (first + begin) * kBlock;
      for (size_t i = 0; i < std::min<uint64_t>(kBlock, left); ++i) {
        const int64_t latency_ps = block.latency_ps[i];
        if (latency_ps < options.low_ps || latency_ps > options.high_ps) continue;
        const Encoding encoding = candidates.EncodingOf(block, i);
        if (binary) {
          AppendRecord(texts[begin], block, i, space, encoding, wide, options.latency);
        } else {
          AppendRow(texts[begin], block, i, encoding, options.latency);
        }
        ends[begin].push_back(texts[begin].size());
      }
    });
    for (size_t i = 0; i < count && written < options.most; ++i) {
      const uint64_t wanted = std::min<uint64_t>(ends[i].size(), options.most - written);
      if (wanted > 0) file.Write(std::string_view(texts[i]).substr(0, ends[i][wanted - 1]));
      written += wanted;
    }
    if (options.on_progress) {
      options.on_progress(std::min<uint64_t>((first + count) * kBlock, options.points), written);
    }
  }
  file.Commit();
  return written;
}

}  // namespace lathe::space
