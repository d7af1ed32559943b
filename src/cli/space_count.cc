// lathe space count | sample: how many networks lie in each latency sub-space, and some of them.
#include <cmath>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "base/table.h"
#include "cli/space_flags.h"
#include "space/candidates.h"
#include "space/subspace.h"

namespace lathe::cli {
namespace {

std::string BucketName(const std::vector<double>& edges_ms, size_t bucket) {
  if (bucket == 0) return fmt::format("below {:g} ms", edges_ms[0]);
  if (bucket == edges_ms.size()) return fmt::format("from {:g} ms", edges_ms.back());
  return fmt::format("{:g} to {:g} ms", edges_ms[bucket - 1], edges_ms[bucket]);
}

nlohmann::ordered_json JsonOf(const space::SubspaceCounts& counts, const SpaceFlags& flags,
                              const latency::PricedSpace& priced,
                              const std::vector<double>& sobol) {
  nlohmann::ordered_json json = {
      {"space", priced.tables.space().name()},
      {"networks", counts.networks.Text()},
      {"method", counts.enumerated ? "one by one" : "dynamic programming"},
      {"resolution_us", space::UsOf(counts.resolution_ps)},
      {"error_us",
       {{"lowest", counts.error_low_us},
        {"highest", counts.error_high_us},
        {"rms", counts.error_rms_us}}},
      {"layers", priced.layers},
      {"estimated_layers", priced.estimated},
      {"sobol_points", flags.points},
      {"buckets", nlohmann::ordered_json::array()}};
  for (size_t i = 0; i < counts.buckets.size(); ++i) {
    const auto& bucket = counts.buckets[i];
    nlohmann::ordered_json row;
    row["from_ms"] = i == 0 ? 0.0 : flags.edges_ms[i - 1];
    row["to_ms"] = i < flags.edges_ms.size() ? nlohmann::ordered_json(flags.edges_ms[i])
                                             : nlohmann::ordered_json(nullptr);
    row["count"] = bucket.count.Text();
    row["share"] = bucket.count.approx / counts.networks.approx;
    row["at_least"] = bucket.low.Text();
    row["at_most"] = bucket.high.Text();
    if (!sobol.empty()) row["sobol_estimate"] = sobol[i];
    json["buckets"].push_back(row);
  }
  return json;
}

std::string ErrorText(const space::SubspaceCounts& counts) {
  if (counts.enumerated) return "Counted one by one; nothing is rounded.\n";
  if (counts.error_low_us == 0 && counts.error_high_us == 0) {
    return fmt::format("Latency in steps of {:g} us, which rounds nothing: the counts are exact.\n",
                       space::UsOf(counts.resolution_ps));
  }
  return fmt::format(
      "Latency in steps of {:g} us. Rounding moves a network's latency by {:+.2f} to {:+.2f} us "
      "(rms {:.2f}),\nso the number by unrounded latency lies between the bounds.\n",
      space::UsOf(counts.resolution_ps), counts.error_low_us, counts.error_high_us,
      counts.error_rms_us);
}

// Estimated networks in each bucket. Limits are not known to the points: none then.
std::vector<double> SobolEstimate(const Globals& globals, const SpaceFlags& flags,
                                  const space::CostTables& tables,
                                  const std::vector<int64_t>& edges_ps) {
  if (flags.points == 0 || flags.Limits().params || flags.Limits().macs) return {};
  const space::SobolCandidates candidates(tables, flags.Scrambling(), globals.seed);
  Progress progress({.stage = "Sobol points", .total = flags.points, .quiet = globals.quiet});
  const auto points = static_cast<uint64_t>(flags.points);
  std::vector<double> estimate;
  for (const auto& bucket : candidates.Count(points, edges_ps, flags.Threads(), [&](uint64_t done) {
         if (StopRequested()) throw Error(ErrorKind::kInterrupted, "stopped");
         progress.Update(static_cast<int64_t>(done));
       })) {
    estimate.push_back(bucket.weight * candidates.NetworksPerWeight(points));
  }
  return estimate;
}

space::SubspaceOptions SubspaceOf(const SpaceFlags& flags) {
  space::SubspaceOptions options{.low_ps = 0,
                                 .high_ps = PsOfMs(1e9),
                                 .limits = flags.Limits(),
                                 .resolution_ps = space::PsOfUs(flags.resolution_us)};
  if (!flags.between_ms.empty()) {
    options.low_ps = PsOfMs(flags.between_ms[0]);
    options.high_ps = PsOfMs(flags.between_ms[1]);
  }
  return options;
}

// Rows as text, or as JSON with the latency where it is known.
class Rows {
 public:
  explicit Rows(bool json) : json_(json) {}
  void Add(std::span<const int> encoding, const space::Cost* cost, bool with_costs) {
    if (json_) {
      rows_.push_back({{"encoding", std::vector<int>(encoding.begin(), encoding.end())}});
      if (cost != nullptr) rows_.back()["latency_us"] = space::UsOf(cost->latency_ps);
      if (cost != nullptr && with_costs) {
        rows_.back()["params"] = cost->params;
        rows_.back()["macs"] = cost->macs;
      }
      return;
    }
    text_ += EncodingText(encoding);
    if (cost != nullptr) text_ += "  " + FormatMs(space::UsOf(cost->latency_ps));
    text_ += '\n';
  }
  void Print() const { json_ ? PrintJson(rows_) : PrintText(text_); }

 private:
  bool json_;
  nlohmann::ordered_json rows_ = nlohmann::ordered_json::array();
  std::string text_;
};

int SampleExactly(const Globals& globals, const SpaceFlags& flags,
                  const space::SearchSpace& space) {
  const latency::PricedSpace priced = flags.Price(space, true);
  const space::SubspaceSampler sampler(priced.tables, SubspaceOf(flags));
  Random random(SubSeed(globals.seed, "sample"));
  const space::Draws draws = sampler.Draw(static_cast<size_t>(flags.count), random);
  if (flags.out.empty()) {
    Rows rows(globals.json);
    for (size_t i = 0; i < draws.size(); ++i) rows.Add(draws[i], &draws.costs[i], true);
    rows.Print();
    return 0;
  }
  AtomicFile file(flags.out);
  std::string text;
  for (const space::Gene& gene : space.genes()) text += gene.name + ",";
  file.Write(text + "latency_us,params,macs\n");
  for (size_t i = 0; i < draws.size(); ++i) {
    file.Write(fmt::format("{},{},{},{}\n", EncodingText(draws[i]),
                           space::UsOf(draws.costs[i].latency_ps), draws.costs[i].params,
                           draws.costs[i].macs));
  }
  file.Commit();
  spdlog::info("{} networks in {}", FormatCount(flags.count), flags.out);
  return 0;
}

// Points of the sequence; with --between, those that fall inside.
int SamplePoints(const Globals& globals, const SpaceFlags& flags, const space::SearchSpace& space) {
  const bool priced = !flags.lut.empty();
  const bool within = !flags.between_ms.empty();
  const space::CostTables tables =
      priced ? flags.Price(space, false).tables
             : space::CostTables(space, [](const net::Layer&) { return 0.0; },
                                 {.head = flags.Head(), .params_and_macs = false});
  const space::SobolCandidates candidates(tables, flags.Scrambling(), globals.seed);
  const auto count = static_cast<uint64_t>(flags.count);
  // Rejection: gives up when a sub-space is so rare that sampling is the wrong tool.
  const uint64_t points = std::min(within ? std::max<uint64_t>(1000 * count, 1 << 22) : count,
                                   space::SobolSequence::kPoints);
  const space::SubspaceOptions interval = SubspaceOf(flags);
  uint64_t found = 0;
  if (!flags.out.empty()) {
    Progress progress({.stage = "sampling", .total = flags.count, .quiet = globals.quiet});
    found = space::StreamCandidates(
        flags.out, candidates,
        {.points = points,
         .low_ps = interval.low_ps,
         .high_ps = interval.high_ps,
         .most = count,
         .latency = priced,
         .format = flags.format == "binary" ? space::CandidateFormat::kBinary
                                            : space::CandidateFormat::kCsv,
         .threads = flags.Threads(),
         .on_progress = [&](uint64_t, uint64_t candidates_done) {
           if (StopRequested()) throw Error(ErrorKind::kInterrupted, "stopped");
           progress.Update(static_cast<int64_t>(candidates_done));
         }});
  } else {
    Rows rows(globals.json);
    space::SobolCandidates::Block block;
    for (uint64_t p = 0; p < points && found < count; ++p) {
      const size_t i = p % space::SobolCandidates::kBlock;
      if (i == 0) candidates.Evaluate(p / space::SobolCandidates::kBlock, block);
      const space::Cost cost{.latency_ps = block.latency_ps[i]};
      if (cost.latency_ps < interval.low_ps || cost.latency_ps > interval.high_ps) continue;
      rows.Add(candidates.EncodingOf(block, i), priced ? &cost : nullptr, false);
      ++found;
    }
    rows.Print();
  }
  if (found == count) return 0;
  throw Error(ErrorKind::kTargetNotReached,
              "only {} of {} networks found between {:g} and {:g} ms in {} Sobol points; --exact "
              "draws from the sub-space itself",
              found, count, space::MsOf(interval.low_ps), space::MsOf(interval.high_ps), points);
}

}  // namespace

int CountSpace(const Globals& globals, const SpaceFlags& flags) {
  const space::SearchSpace space = flags.Load();
  const space::Limits limits = flags.Limits();
  const latency::PricedSpace priced = flags.Price(space, limits.params || limits.macs);
  std::vector<int64_t> edges_ps;
  for (const double edge : flags.edges_ms) edges_ps.push_back(PsOfMs(edge));
  const space::SubspaceCounts counts =
      space::CountSubspaces(priced.tables, {.edges_ps = edges_ps,
                                            .limits = limits,
                                            .resolution_ps = space::PsOfUs(flags.resolution_us)});
  const std::vector<double> sobol = SobolEstimate(globals, flags, priced.tables, edges_ps);
  if (globals.json) {
    PrintJson(JsonOf(counts, flags, priced, sobol));
    return 0;
  }
  std::vector<std::vector<std::string>> rows = {{"sub-space", "networks", "share"}};
  const bool bounds = counts.error_low_us != 0 || counts.error_high_us != 0;
  if (bounds) rows[0].insert(rows[0].end(), {"at least", "at most"});
  if (!sobol.empty()) rows[0].push_back("Sobol estimate");
  for (size_t i = 0; i < counts.buckets.size(); ++i) {
    const auto& bucket = counts.buckets[i];
    std::vector<std::string> row = {
        BucketName(flags.edges_ms, i), FormatBig(bucket.count),
        fmt::format("{:.4g} %", 100 * bucket.count.approx / counts.networks.approx)};
    if (bounds) {
      row.push_back(fmt::format("{:.4e}", bucket.low.approx));
      row.push_back(fmt::format("{:.4e}", bucket.high.approx));
    }
    if (!sobol.empty()) row.push_back(fmt::format("{:.4e}", sobol[i]));
    rows.push_back(row);
  }
  std::string text = FormatTable(rows);
  text += fmt::format("Space {}: {} networks.\n{}", space.name(), FormatBig(counts.networks),
                      ErrorText(counts));
  if (!sobol.empty()) text += fmt::format("Sobol: {} points.\n", FormatCount(flags.points));
  PrintText(text);
  return 0;
}

int SampleSpace(const Globals& globals, const SpaceFlags& flags) {
  const space::SearchSpace space = flags.Load();
  if (flags.lut.empty() && (!flags.between_ms.empty() || flags.exact)) {
    throw Error(ErrorKind::kUsage, "{} needs --lut to know latencies",
                flags.exact ? "--exact" : "--between");
  }
  const space::Limits limits = flags.Limits();
  if (!flags.exact && (limits.params || limits.macs || flags.resolution_us > 0)) {
    throw Error(ErrorKind::kUsage, "--max-params, --max-macs and --resolution-us go with --exact");
  }
  if (flags.exact && flags.format == "binary") {
    throw Error(ErrorKind::kUsage, "--format binary is for Sobol points, not for --exact");
  }
  return flags.exact ? SampleExactly(globals, flags, space) : SamplePoints(globals, flags, space);
}

}  // namespace lathe::cli
