// Stage 1 over the whole GPUNet space, on one thread, with made-up latencies of a fast GPU:
//   space_bench sobol POINTS     candidates per second: Sobol point, decode, table sum, bucket
//   space_bench count            exact counts at 1 us up to 8 ms, then 100,000 exact uniform draws
//   space_bench roundtrip COUNT  random encodings decoded to networks and encoded again
//   space_bench dump FOLDER      the tables as raw arrays, for a peer
// Prints one JSON object.
#include <sys/resource.h>

#include <chrono>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "space/candidates.h"
#include "space/count.h"

namespace {

using namespace lathe;

double SecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// 3 us per layer and 10 T multiply-accumulates a second.
double GpuLatency(const net::Layer& layer) {
  return 3.0 + static_cast<double>(net::Count(layer).macs) / 1e7;
}

std::vector<int64_t> Edges() {
  std::vector<int64_t> edges;
  for (int64_t ms = 1; ms <= 8; ++ms) edges.push_back(ms * 1000000000);
  return edges;
}

double PeakGib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / (1 << 20);
}

template <typename T>
void DumpArray(const fs::path& path, const std::vector<T>& values) {
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(values.data()),
             static_cast<std::streamsize>(values.size() * sizeof(T)));
}

void Dump(const space::CostTables& tables, const fs::path& folder) {
  MakeFolder(folder);
  nlohmann::json json = {{"genes", nlohmann::json::array()}, {"stages", nlohmann::json::array()}};
  for (const space::Gene& gene : tables.space().genes()) json["genes"].push_back(gene.choices);
  const auto latencies = [](const std::vector<space::Cost>& costs) {
    std::vector<double> us;
    for (const space::Cost& cost : costs) us.push_back(space::UsOf(cost.latency_ps));
    return us;
  };
  for (size_t s = 0; s < tables.stages().size(); ++s) {
    const space::StageTable& table = tables.stages()[s];
    nlohmann::json axes = nlohmann::json::array();
    for (const auto& axis : table.variant_axes) axes.push_back({axis.gene, axis.stride});
    json["stages"].push_back({{"filters", table.filters},
                              {"variants", table.variants},
                              {"layers", table.layers},
                              {"filters_gene", table.filters_gene},
                              {"layers_gene", table.layers_gene},
                              {"axes", axes}});
    const std::string name = (folder / fmt::format("stage{}.", s)).string();
    DumpArray(name + "first", latencies(table.first));
    DumpArray(name + "rest", latencies(table.rest));
    DumpArray(name + "next", table.next);
    DumpArray(name + "skip", table.skip);
  }
  DumpArray(folder / "tail", latencies(tables.tail()));
  json["edges_us"] = nlohmann::json::array();
  for (const int64_t edge : Edges()) json["edges_us"].push_back(edge / 1000000);
  std::ofstream(folder / "tables.json") << json;
}

nlohmann::json Sobol(const space::CostTables& tables, uint64_t points) {
  const space::SobolCandidates candidates(tables, space::Scramble::kNone, 0);
  const auto start = std::chrono::steady_clock::now();
  const auto buckets = candidates.Count(points, Edges(), 1);
  const double seconds = SecondsSince(start);
  std::vector<int64_t> counts;
  for (const auto& bucket : buckets) counts.push_back(bucket.points);
  return {{"points", points},
          {"seconds", seconds},
          {"per_second", static_cast<double>(points) / seconds},
          {"counts", counts}};
}

nlohmann::json Count(const space::CostTables& tables) {
  auto start = std::chrono::steady_clock::now();
  const space::SubspaceCounts counts =
      space::CountSubspaces(tables, {.edges_ps = Edges(),
                                     .limits = {},
                                     .resolution_ps = 1000000,
                                     .memory_bytes = size_t{2} << 30});
  const double count_seconds = SecondsSince(start);
  start = std::chrono::steady_clock::now();
  const space::SubspaceSampler sampler(tables, {.low_ps = 0,
                                                .high_ps = 8000000000,
                                                .limits = {},
                                                .resolution_ps = 1000000,
                                                .memory_bytes = size_t{2} << 30});
  const double prepare_seconds = SecondsSince(start);
  start = std::chrono::steady_clock::now();
  Random random(1);
  const space::Draws draws = sampler.Draw(100000, random);
  const double draw_seconds = SecondsSince(start);
  nlohmann::json json = {{"networks", counts.networks.Text()},
                         {"count_seconds", count_seconds},
                         {"prepare_seconds", prepare_seconds},
                         {"draw_seconds", draw_seconds},
                         {"draws", draws.size()},
                         {"error_us", {counts.error_low_us, counts.error_high_us}},
                         {"error_rms_us", counts.error_rms_us}};
  for (const auto& bucket : counts.buckets) json["buckets"].push_back(bucket.count.Text());
  return json;
}

nlohmann::json RoundTrip(const space::SearchSpace& space, int64_t count) {
  const auto start = std::chrono::steady_clock::now();
  Random random(1);
  int64_t wrong = 0;
  for (int64_t i = 0; i < count; ++i) {
    const space::Encoding encoding = space.Sample(random);
    if (space.Encode(space.Decode(encoding, {})) != encoding) ++wrong;
  }
  return {{"count", count}, {"wrong", wrong}, {"seconds", SecondsSince(start)}};
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const std::string what = argc > 1 ? argv[1] : "";
    const auto start = std::chrono::steady_clock::now();
    const auto space = space::SearchSpace::Load("configs/spaces/gpunet.toml");
    const space::CostTables tables(space, GpuLatency, {.params_and_macs = false});
    const double table_seconds = SecondsSince(start);
    nlohmann::json json;
    if (what == "sobol" && argc > 2) {
      json = Sobol(tables, std::stoull(argv[2]));
    } else if (what == "count") {
      json = Count(tables);
    } else if (what == "roundtrip" && argc > 2) {
      json = RoundTrip(space, std::stoll(argv[2]));
    } else if (what == "dump" && argc > 2) {
      Dump(tables, argv[2]);
    } else {
      std::cerr << "usage: space_bench sobol POINTS | count | roundtrip COUNT | dump FOLDER\n";
      return 2;
    }
    json["table_seconds"] = table_seconds;
    json["layers_priced"] = tables.layers_priced();
    json["peak_gib"] = PeakGib();
    std::cout << json.dump(1) << "\n";
  } catch (const std::exception& error) {
    std::cerr << "space_bench: " << error.what() << "\n";
    return 1;
  }
}
