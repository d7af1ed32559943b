// lathe space describe: one page about a space that a person can decide from.
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/table.h"
#include "cli/space_flags.h"
#include "cli/space_picture.h"
#include "latency/stats.h"

namespace lathe::cli {
namespace {

constexpr size_t kDraws = 20000;  // a share of 50 % is then known to 0.35 points (one sigma)
constexpr size_t kShownChoices = 16;
constexpr int kHistogramBins = 60;

// A value that a cost has, over the space: exact ends, quantiles of uniform draws.
struct Spread {
  std::string name;
  double least = 0, p5 = 0, median = 0, p95 = 0, greatest = 0;
  std::string unit;
};

Spread SpreadOf(const std::string& name, const std::string& unit, const space::CostRange& range,
                const space::Draws& draws, int64_t space::Cost::*part, double scale) {
  std::vector<double> values;
  for (const space::Cost& cost : draws.costs)
    values.push_back(static_cast<double>(cost.*part) * scale);
  return {.name = name,
          .least = static_cast<double>(range.least.*part) * scale,
          .p5 = latency::Quantile(values, 0.05),
          .median = latency::Quantile(values, 0.5),
          .p95 = latency::Quantile(values, 0.95),
          .greatest = static_cast<double>(range.greatest.*part) * scale,
          .unit = unit};
}

// Share of each choice among the networks of the space that have the gene's stage; every network
// counts once.
std::vector<double> SharesInSpace(const space::SearchSpace& space, size_t gene) {
  const space::Gene& g = space.genes()[gene];
  std::vector<double> shares(g.choices.size(), 1.0);
  if (g.kind == space::GeneKind::kLayers && g.choices.front() == 0) {
    double others = 1;  // encodings of the stage with a given number of layers above 0
    for (const space::Gene& other : space.genes()) {
      if (other.stage == g.stage && other.kind != space::GeneKind::kLayers)
        others *= static_cast<double>(other.choices.size());
    }
    for (size_t i = 1; i < shares.size(); ++i) shares[i] = others;
  }
  double sum = 0;
  for (const double share : shares) sum += share;
  for (double& share : shares) share /= sum;
  return shares;
}

std::vector<GeneShares> SharesIn(const space::SearchSpace& space, const space::Draws& draws) {
  std::vector<GeneShares> all;
  for (size_t g = 0; g < space.genes().size(); ++g) {
    const space::Gene& gene = space.genes()[g];
    GeneShares shares{.gene = gene.name,
                      .choices = {},
                      .in_space = SharesInSpace(space, g),
                      .in_subspace = std::vector<double>(gene.choices.size(), 0.0)};
    for (const int choice : gene.choices)
      shares.choices.push_back(space::FormatChoice(gene, choice));
    double active = 0;
    for (size_t i = 0; i < draws.size(); ++i) {
      if (!space.IsActive(draws[i], g)) continue;
      const auto at = std::ranges::lower_bound(gene.choices, draws[i][g]);
      ++shares.in_subspace[static_cast<size_t>(at - gene.choices.begin())];
      ++active;
    }
    for (double& share : shares.in_subspace) share /= std::max(active, 1.0);
    all.push_back(std::move(shares));
  }
  return all;
}

// Everything `describe` finds out; parts that need a LUT are empty without one.
struct Description {
  space::BigCount networks;
  std::vector<Spread> spreads;
  int64_t layers = 0, estimated = 0;
  std::optional<space::SubspaceCounts> budget;  // buckets: within, beyond
  std::vector<double> between_ms;               // of the sub-space that `shares` is about
  double subspace_share = 0;
  std::vector<GeneShares> shares;
  std::vector<double> edges_ms, histogram;  // networks by latency
};

Description Look(const Globals& globals, const SpaceFlags& flags, const space::SearchSpace& space) {
  Description found;
  const bool priced = !flags.lut.empty();
  std::optional<latency::PricedSpace> with_lut;
  std::optional<space::CostTables> without;
  if (priced) {
    with_lut = flags.Price(space, true);
    found.layers = with_lut->layers;
    found.estimated = with_lut->estimated;
  } else {
    without.emplace(
        space, [](const net::Layer&) { return 0.0; },
        space::CostOptions{.head = flags.Head(), .threads = flags.Threads()});
  }
  const space::CostTables& tables = priced ? with_lut->tables : *without;
  const space::CostRange range = space::RangeOf(tables);
  Random random(SubSeed(globals.seed, "describe"));
  const space::Draws draws =
      space::SubspaceSampler(tables,
                             {.low_ps = 0, .high_ps = range.greatest.latency_ps, .limits = {}})
          .Draw(kDraws, random);
  if (priced) {
    found.spreads.push_back(
        SpreadOf("latency", "ms", range, draws, &space::Cost::latency_ps, 1e-9));
  }
  found.spreads.push_back(SpreadOf("params", "", range, draws, &space::Cost::params, 1));
  found.spreads.push_back(SpreadOf("MACs", "", range, draws, &space::Cost::macs, 1));
  const auto count = [&](std::vector<int64_t> edges) {
    return space::CountSubspaces(tables, {.edges_ps = std::move(edges), .limits = flags.Limits()});
  };
  if (!priced) {
    found.networks = count({1}).networks;
    return found;
  }

  std::vector<int64_t> edges;
  for (int i = 0; i <= kHistogramBins; ++i) {
    const double share = static_cast<double>(i) / kHistogramBins;
    const auto edge = range.least.latency_ps +
                      static_cast<int64_t>(share * static_cast<double>(range.greatest.latency_ps -
                                                                       range.least.latency_ps));
    if (edges.empty() || edge > edges.back()) edges.push_back(edge + (i == kHistogramBins ? 1 : 0));
  }
  const space::SubspaceCounts all = count(edges);
  found.networks = all.networks;
  for (size_t i = 0; i < edges.size(); ++i) {
    found.edges_ms.push_back(space::MsOf(edges[i]));
    if (i > 0) found.histogram.push_back(all.buckets[i].count.approx);
  }
  found.between_ms = flags.between_ms;
  if (flags.budget_ms > 0) {
    found.budget = count({PsOfMs(flags.budget_ms) + 1});
    if (found.between_ms.empty()) found.between_ms = {0, flags.budget_ms};
  }
  if (found.between_ms.empty()) return found;
  const int64_t low = PsOfMs(found.between_ms[0]), high = PsOfMs(found.between_ms[1]);
  const space::SubspaceCounts counts = low > 0 ? count({low, high + 1}) : count({high + 1});
  const auto& inside = counts.buckets[low > 0 ? 1 : 0];
  found.subspace_share = inside.count.approx / found.networks.approx;
  if (inside.high.approx == 0) return found;  // nothing to draw
  const space::SubspaceSampler sampler(tables,
                                       {.low_ps = low, .high_ps = high, .limits = flags.Limits()});
  found.shares = SharesIn(space, sampler.Draw(kDraws, random));
  return found;
}

// A choice whose share in the sub-space differs from that in the space.
struct Shift {
  const GeneShares* gene;
  size_t choice;
  double Surprise() const {  // in units of the draws' own noise
    const double expected = gene->in_space[choice], seen = gene->in_subspace[choice];
    return std::abs(seen - expected) / std::sqrt(expected * (1 - expected) + 1e-9);
  }
};

std::vector<Shift> Shifts(const std::vector<GeneShares>& shares) {
  std::vector<Shift> shifts;
  for (const GeneShares& gene : shares) {
    if (gene.choices.size() < 2) continue;
    for (size_t c = 0; c < gene.choices.size(); ++c) shifts.push_back({&gene, c});
  }
  std::ranges::stable_sort(shifts, std::greater{}, &Shift::Surprise);
  return shifts;
}

std::string ChoicesOf(const space::SearchSpace& space, const space::Attribute& attribute,
                      space::GeneKind kind, int stage) {
  std::vector<std::string> texts;
  for (const int value : attribute.values)
    texts.push_back(space::FormatChoice({.kind = kind}, value));
  if (attribute.gene >= 0) {
    const space::Gene& gene = space.genes()[static_cast<size_t>(attribute.gene)];
    if (gene.stage >= 0 && gene.stage != stage) return fmt::format("as stage {}", gene.stage);
  }
  const std::vector<int>& v = attribute.values;
  bool even = v.size() > 3 && kind != space::GeneKind::kActivation;
  for (size_t i = 2; even && i < v.size(); ++i) even = v[i] - v[i - 1] == v[1] - v[0];
  if (!even) return fmt::format("{}", fmt::join(texts, " "));
  return v[1] - v[0] == 1 ? fmt::format("{}-{}", v.front(), v.back())
                          : fmt::format("{}-{} by {}", v.front(), v.back(), v[1] - v[0]);
}

std::string StageTable(const space::SearchSpace& space) {
  using space::GeneKind;
  std::vector<std::vector<std::string>> rows = {
      {"stage", "op", "stride", "layers", "filters", "kernel", "expansion", "SE", "activation"}};
  for (size_t s = 0; s < space.stages().size(); ++s) {
    const space::Stage& stage = space.stages()[s];
    const bool conv = stage.op == net::Op::kConv;
    const auto choices = [&](GeneKind kind) {
      return ChoicesOf(space, stage[kind], kind, static_cast<int>(s));
    };
    rows.push_back({fmt::format("{}:", s), std::string(net::Name(stage.op)),
                    fmt::format("/{}", stage.stride), choices(GeneKind::kLayers),
                    choices(GeneKind::kFilters), choices(GeneKind::kKernel),
                    conv ? "-" : choices(GeneKind::kExpansion), conv ? "-" : choices(GeneKind::kSe),
                    choices(GeneKind::kActivation)});
  }
  return FormatTable(rows) +
         fmt::format("Resolution: {} px.\n",
                     ChoicesOf(space, space.resolution(), GeneKind::kResolution, -1));
}

std::string ValueText(double value, const std::string& unit) {
  return unit.empty() ? FormatShort(value) : fmt::format("{:.3f} {}", value, unit);
}

std::string TextOf(const Description& found, const SpaceFlags& flags,
                   const space::SearchSpace& space) {
  std::string text = StageTable(space);
  text += fmt::format("{}: {} networks in {} genes.\n\n", space.name(), FormatBig(found.networks),
                      space.genes().size());
  std::vector<std::vector<std::string>> rows = {
      {"", "least", "5 %", "typical", "95 %", "greatest"}};
  for (const Spread& spread : found.spreads) {
    rows.push_back({spread.name, ValueText(spread.least, spread.unit),
                    ValueText(spread.p5, spread.unit), ValueText(spread.median, spread.unit),
                    ValueText(spread.p95, spread.unit), ValueText(spread.greatest, spread.unit)});
  }
  text += FormatTable(rows);
  if (flags.lut.empty()) {
    return text + "With --lut also the latency, and with --budget or --between what lies within.\n";
  }
  if (found.budget) {
    const space::BigCount& within = found.budget->buckets[0].count;
    text += fmt::format("\n{:.4g} % of the networks run within {:g} ms: {}.\n",
                        100 * within.approx / found.networks.approx, flags.budget_ms,
                        FormatBig(within));
  }
  if (found.between_ms.empty()) return text;
  if (found.shares.empty()) {
    return text + fmt::format("No network lies between {:g} and {:g} ms.\n", found.between_ms[0],
                              found.between_ms[1]);
  }
  text += fmt::format(
      "\nBetween {:g} and {:g} ms ({:.4g} % of the space) the choices that differ "
      "most from the whole space:\n",
      found.between_ms[0], found.between_ms[1], 100 * found.subspace_share);
  rows = {{"choice", "there", "whole space", ""}};
  for (const Shift& shift : Shifts(found.shares)) {
    if (rows.size() > kShownChoices) break;
    const double here = shift.gene->in_subspace[shift.choice];
    const double expected = shift.gene->in_space[shift.choice];
    rows.push_back({fmt::format("{} = {}", shift.gene->gene, shift.gene->choices[shift.choice]),
                    fmt::format("{:.1f} %", 100 * here), fmt::format("{:.1f} %", 100 * expected),
                    here > expected ? fmt::format("{:.1f} times as often", here / expected)
                    : here > 0      ? fmt::format("{:.1f} times as rare", expected / here)
                                    : "never"});
  }
  return text + FormatTable(rows);
}

nlohmann::ordered_json JsonOf(const Description& found, const SpaceFlags& flags,
                              const space::SearchSpace& space) {
  nlohmann::ordered_json json = {{"name", space.name()},
                                 {"networks", found.networks.Text()},
                                 {"size_log10", space.size_log10()},
                                 {"genes", nlohmann::ordered_json::array()}};
  for (const space::Gene& gene : space.genes()) {
    json["genes"].push_back(
        {{"name", gene.name}, {"choices", gene.choices}, {"ordinal", gene.ordinal}});
  }
  for (const Spread& spread : found.spreads) {
    json[spread.name == "latency" ? "latency_ms"
         : spread.name == "MACs"  ? "macs"
                                  : "params"] = {{"least", spread.least},
                                                {"p5", spread.p5},
                                                {"median", spread.median},
                                                {"p95", spread.p95},
                                                {"greatest", spread.greatest}};
  }
  if (flags.lut.empty()) return json;
  json["layers"] = found.layers;
  json["estimated_layers"] = found.estimated;
  json["histogram"] = {{"edges_ms", found.edges_ms}, {"networks", found.histogram}};
  if (found.budget) {
    json["budget"] = {{"latency_ms", flags.budget_ms},
                      {"networks", found.budget->buckets[0].count.Text()},
                      {"share", found.budget->buckets[0].count.approx / found.networks.approx}};
  }
  if (found.between_ms.empty()) return json;
  json["subspace"] = {{"between_ms", found.between_ms}, {"share", found.subspace_share}};
  for (const GeneShares& gene : found.shares) {
    json["subspace"]["genes"][gene.gene] = {
        {"choices", gene.choices}, {"share", gene.in_subspace}, {"share_in_space", gene.in_space}};
  }
  return json;
}

}  // namespace

int DescribeSpace(const Globals& globals, const SpaceFlags& flags) {
  const space::SearchSpace space = flags.Load();
  if (flags.lut.empty() &&
      (flags.budget_ms > 0 || !flags.between_ms.empty() || !flags.picture.empty())) {
    throw Error(ErrorKind::kUsage,
                "--budget, --between and --picture need --lut to know latencies");
  }
  const Description found = Look(globals, flags, space);
  globals.json ? PrintJson(JsonOf(found, flags, space)) : PrintText(TextOf(found, flags, space));
  if (flags.picture.empty()) return 0;
  WriteFileAtomically(flags.picture, SpacePicture({.title = space.name(),
                                                   .edges_ms = found.edges_ms,
                                                   .networks = found.histogram,
                                                   .between_ms = found.between_ms,
                                                   .shares = found.shares}));
  spdlog::info("picture: {}", flags.picture);
  return 0;
}

}  // namespace lathe::cli
