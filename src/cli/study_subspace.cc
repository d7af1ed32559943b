#include "cli/study_subspace.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/process.h"
#include "base/random.h"

namespace lathe::cli {

namespace fs = std::filesystem;

space::SearchSpace LoadSpace(const study::StudyConfig& config) {
  return space::SearchSpace::Load(config.space_file).Restrict(config.restrict);
}

latency::PricedSpace PriceStudy(const study::StudyConfig& config, const space::SearchSpace& space,
                                space::SearchSpace::Head head, const latency::Estimator& estimator,
                                const fs::path& folder) {
  return latency::PriceSpace(space, estimator,
                             {.head = head,
                              .threads = AvailableThreads(),
                              .lut_name = (folder / "lut.json").string(),
                              .space_name = config.space_file.string()});
}

space::SubspaceOptions SubspaceOf(const study::StudyConfig& config) {
  return {.low_ps = space::PsOfUs(config.subspace_low_us),
          .high_ps = space::PsOfUs(config.subspace_high_us),
          .limits = {}};
}

std::unique_ptr<search::Proposer> MakeStudyProposer(const study::StudyConfig& config,
                                                    const space::SearchSpace& space,
                                                    search::CandidateSource& source) {
  return search::MakeProposer(config.proposer, source,
                              {.dimensions = study::Dimensions(space),
                               .seed = SubSeed(config.seed, "proposer"),
                               .goal = config.objective.goal(),
                               .objective = config.objective.formula()});
}

void SaveHead(study::Store& store, space::SearchSpace::Head head) {
  store.SetValue("head",
                 nlohmann::json({{"channels", head.channels}, {"classes", head.classes}}).dump());
}

space::SearchSpace::Head SavedHead(const study::Store& store) {
  const std::optional<std::string> text = store.Value("head");
  if (!text) {
    throw Error(ErrorKind::kInput,
                "study '{}' has proposed nothing yet, or an older Lathe made it; continue it with "
                "'lathe search --resume'",
                store.study_name());
  }
  const nlohmann::json head = nlohmann::json::parse(*text);
  return {.channels = head.at("channels"), .classes = head.at("classes")};
}

}  // namespace lathe::cli
