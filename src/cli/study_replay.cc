#include "cli/study_replay.h"

#include <algorithm>

#include "base/error.h"
#include "cli/study_subspace.h"
#include "latency/lut.h"
#include "study/replay.h"

namespace lathe::cli {
namespace {

using Difference = study::ReplayResult::Difference;

// The genes in which the two differ, or the latency where the encodings are the same.
std::string Describe(const Difference& difference, const std::vector<study::Parameter>& genes) {
  if (!difference.now) return "now there is no proposal any more";
  std::vector<std::string> parts;
  for (size_t i = 0; i < genes.size(); ++i) {
    const int now = difference.now->encoding[i];
    if (now != difference.recorded[i]) {
      parts.push_back(
          fmt::format("{} {} instead of {}", genes[i].name, now, difference.recorded[i]));
    }
  }
  if (parts.empty()) {
    return fmt::format("the same network, but with a latency of {} us instead of {} us",
                       difference.now->latency_us, difference.recorded_us);
  }
  return "now it has " + fmt::format("{}", fmt::join(parts, ", "));
}

nlohmann::ordered_json JsonOf(const study::ReplayResult& result) {
  nlohmann::ordered_json json = {{"proposals", result.proposals},
                                 {"same", !result.difference.has_value()}};
  if (const auto& difference = result.difference) {
    json["trial"] = difference->trial;
    json["recorded"] = difference->recorded;
    json["now"] = difference->now ? nlohmann::json(difference->now->encoding) : nlohmann::json();
  }
  return json;
}

}  // namespace

int ReplayStudy(const Globals& globals, const std::filesystem::path& folder) {
  const study::Store store = study::Store::OpenReadOnly(folder / "study.db");
  const study::StudyConfig config = study::LoadStudy(folder / "study.toml");
  const space::SearchSpace::Head head = SavedHead(store);
  const space::SearchSpace space = LoadSpace(config);
  const latency::Estimator estimator(latency::ReadLut(folder / "lut.json"));
  const latency::PricedSpace priced = PriceStudy(config, space, head, estimator, folder);
  study::SubspaceSource source(priced.tables, head, SubspaceOf(config));
  const std::unique_ptr<search::Proposer> proposer = MakeStudyProposer(config, space, source);
  // In this order: a search that is running may go on in between.
  const std::vector<study::Call> calls = store.Calls();
  const std::vector<study::TrialRecord> trials = store.Trials();
  const study::ReplayResult result =
      study::Replay(calls, trials, *proposer,
                    [&](const std::vector<int>& encoding) { return source.Describe(encoding); });
  if (globals.json) {
    PrintJson(JsonOf(result));
  } else if (result.difference) {
    PrintText(fmt::format("{} proposals are the same; that of trial {} differs: {}\n",
                          result.proposals, result.difference->trial,
                          Describe(*result.difference, store.parameters())));
  } else {
    PrintText(fmt::format("{} proposals, all the same\n", result.proposals));
  }
  return result.difference ? 1 : 0;
}

}  // namespace lathe::cli
