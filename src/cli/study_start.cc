#include "cli/study_start.h"

#include <spdlog/spdlog.h>

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "cli/common.h"

namespace lathe::cli {
namespace {

constexpr char kTaken[] = "warm_start";  // JSON: "sources" and "queue"

nlohmann::json TakenOf(const study::Store& store) {
  const std::optional<std::string> text = store.Value(kTaken);
  if (text) return nlohmann::json::parse(*text);
  return {{"sources", nlohmann::json::array()}, {"queue", nlohmann::json::array()}};
}

bool IsEncoding(const std::string& text) {
  return text.find(',') != std::string::npos &&
         text.find_first_not_of("0123456789, ") == std::string::npos;
}

}  // namespace

space::Encoding EncodingOf(const std::string& text, const space::SearchSpace& space) {
  if (!IsEncoding(text)) return EncodeNetwork(space, LoadNetwork(text));
  std::string packed = text;
  std::erase(packed, ' ');
  const space::Encoding encoding = ParseEncoding(packed);
  space.Check(encoding);
  return space.Canonical(encoding);
}

std::vector<space::Encoding> EnqueuedEncodings(const study::StudyConfig& config,
                                               const space::SearchSpace& space) {
  std::vector<space::Encoding> encodings;
  for (const std::string& text : config.enqueue) {
    try {
      encodings.push_back(EncodingOf(text, space));
    } catch (const Error& error) {
      throw Error(ErrorKind::kInput, "{}: [search] enqueue: '{}': {}", config.source.string(), text,
                  error.what());
    }
  }
  return encodings;
}

void CheckEnqueued(const study::StudyConfig& config, const std::vector<space::Encoding>& enqueued,
                   const study::SubspaceSource& source) {
  for (size_t i = 0; i < enqueued.size(); ++i) {
    const std::string why_not = WhyNotTried(config, enqueued[i], source);
    if (why_not.empty()) continue;
    throw Error(ErrorKind::kInput,
                "{}: [search] enqueue: '{}': {}; leave it out or change subspace_ms in [stage1]",
                config.source.string(), config.enqueue[i], why_not);
  }
}

std::string WhyNotTried(const study::StudyConfig& config, const space::Encoding& encoding,
                        const study::SubspaceSource& source) {
  if (source.Contains(encoding)) return "";
  return fmt::format("its LUT latency of {} is outside the sub-space, {} to {}",
                     FormatMs(source.Describe(encoding).latency_us),
                     FormatMs(config.subspace_low_us), FormatMs(config.subspace_high_us));
}

std::vector<study::EarlierResults> ReadNewSources(const study::StudyConfig& config,
                                                  const space::SearchSpace& space,
                                                  const study::Store* store) {
  std::vector<std::string> taken;
  if (store != nullptr) taken = TakenOf(*store).at("sources").get<std::vector<std::string>>();
  std::vector<study::EarlierResults> earlier;
  for (const fs::path& source : config.warm_start) {
    if (std::ranges::find(taken, source.string()) != taken.end()) continue;
    earlier.push_back(study::ReadEarlier(source, config, space));
    taken.push_back(source.string());  // named twice, it is one
  }
  return earlier;
}

std::vector<space::Encoding> ImportEarlier(const std::vector<study::EarlierResults>& earlier,
                                           const study::StudyConfig& config,
                                           const study::SubspaceSource& source,
                                           const study::ControllerOptions& options,
                                           const study::ControllerHooks& hooks,
                                           study::Store& store) {
  nlohmann::json taken = TakenOf(store);
  if (!earlier.empty()) {
    std::set<std::vector<int>> known;
    for (const study::TrialRecord& trial : store.Trials()) known.insert(trial.encoding);
    const study::WarmStart plan = study::PlanWarmStart(
        earlier, std::move(known),
        {.objective = config.objective,
         .best = config.warm_start_best,
         .describe = hooks.candidate,
         .in_subspace = [&](const std::vector<int>& e) { return source.Contains(e); }});
    std::vector<study::TrialRecord> trials;
    for (const study::EarlierTrial& trial : plan.imported) {
      trials.push_back(study::ImportedTrial(
          store.next_number() + static_cast<int64_t>(trials.size()), trial, options, hooks));
    }
    for (const study::EarlierResults& results : earlier) taken["sources"].push_back(results.source);
    for (const std::vector<int>& encoding : plan.queue) taken["queue"].push_back(encoding);
    store.Import(trials, kTaken, taken.dump());
    for (const std::string& note : plan.notes) {
      spdlog::info("{}", note);
      store.LogEvent(note);
    }
  }
  return taken.at("queue").get<std::vector<space::Encoding>>();
}

}  // namespace lathe::cli
