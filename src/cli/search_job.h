// The whole job of `lathe search`: measure, categorise, optimise, rank, train and package the
// finalists, report. Every stage leaves its result in the study's folder, so a job that was killed
// continues where it was.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/process.h"
#include "data/dataset.h"
#include "engine/engine.h"
#include "latency/estimator.h"
#include "latency/lut.h"
#include "space/search_space.h"
#include "study/config.h"
#include "study/store.h"
#include "study/subspace_source.h"
#include "study/trial.h"

namespace lathe::cli {

struct SearchOptions {
  std::filesystem::path folder;        // NAME/
  std::vector<std::string> overrides;  // --set key=value, for the command that reproduces the study
  bool resume = false;
  bool quiet = false;
};

// What the stages share. Built once by OpenStudy(), which checks everything that can be wrong
// before any time is spent.
struct StudyContext {
  study::StudyConfig config;
  SearchOptions options;
  space::SearchSpace space;
  space::SearchSpace::Head head;
  data::Splits splits;
  std::vector<space::Encoding> enqueued;  // of [search] enqueue
  std::unique_ptr<engine::Engine> engine;
  std::optional<latency::Lut> given_lut;  // of [latency] file
  std::function<bool()> stop = &StopRequested;
  int64_t sample = 0;  // images that a training sees at most, when it is only tried; 0: all

  // For trials in sub-folders of `trials_folder`.
  std::unique_ptr<study::Executor> MakeExecutor(const std::filesystem::path& trials_folder) const;
};

StudyContext OpenStudy(const study::StudyConfig& config, const SearchOptions& options);

// A baseline of the study ("mobilenet_v2", or with options of its own, "mobilenet_v2@64x0.5") at
// the given resolution, widest first.
std::vector<net::Network> BaselineVersions(const StudyContext& context, const std::string& name,
                                           int resolution);

// With random weights, in the study's engine: what is not trained yet takes as long.
std::unique_ptr<engine::CompiledModel> CompileUntrained(const StudyContext& context,
                                                        const net::Network& network);

struct TimedBaseline {
  net::Network network;
  double latency_us = 0;
  bool fits = false;
};
// The widest version of a baseline that takes at most `limit_us` as `time` measures it; the
// narrowest, where none does.
TimedBaseline FitBaseline(const StudyContext& context, const std::string& name, int resolution,
                          double limit_us,
                          const std::function<engine::Timing(engine::CompiledModel&)>& time);

// Writes network.json and trial.json of a training. `kind`: "search", "finalist" or "baseline".
void PrepareTrial(const StudyContext& context, const std::filesystem::path& folder, int64_t number,
                  const std::string& kind, const net::Network& network);

// Whether a search runs on the study in this folder, in this process or another of this machine.
bool IsSearching(const std::filesystem::path& study);

// Blocking. Returns 0, or 3 when no finalist meets the targets as measured.
int RunSearch(const study::StudyConfig& config, const SearchOptions& options, bool json);

}  // namespace lathe::cli
