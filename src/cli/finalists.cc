#include "cli/finalists.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "cli/common.h"
#include "cli/contenders.h"
#include "cli/judge.h"
#include "deploy/package.h"
#include "study/batch.h"
#include "study/search_clock.h"

namespace lathe::cli {
namespace {

std::vector<study::TrialResult> TrainContenders(const StudyContext& context,
                                                const std::vector<Contender>& contenders) {
  std::vector<study::BatchJob> jobs;
  for (const Contender& contender : contenders) {
    jobs.push_back({.folder = contender.folder, .number = contender.number});
    if (!study::HasResult(contender.folder)) {
      PrepareTrial(context, contender.folder, contender.number, contender.kind, contender.network);
    }
  }
  const std::unique_ptr<study::Executor> executor =
      context.MakeExecutor(context.options.folder / "training");
  Progress progress(
      {.stage = "training finalists and baselines", .total = 1000, .quiet = context.options.quiet});
  study::BatchOptions options;
  options.max_starts = 1 + context.config.max_retries;
  options.stop = context.stop;
  options.cancel_on_stop = context.config.CancelsOnStop();
  options.on_finished = [&](size_t job, const study::TrialResult& result) {
    progress.PrintLine(result.ok
                           ? fmt::format("{}: test accuracy {}", contenders[job].name,
                                         FormatPercent(result.metrics.at("accuracy")))
                           : fmt::format("{}: failed: {}", contenders[job].name, result.error));
  };
  options.on_poll = [&] {
    // All jobs have the same number of images to see; a job that waits counts as zero.
    double share = 0;
    int finished = 0;
    for (const study::BatchJob& job : jobs) {
      const bool done = study::HasResult(job.folder);
      const study::TrialProgress at =
          done ? study::TrialProgress{} : study::ReadProgress(job.folder);
      finished += done ? 1 : 0;
      share += done ? 1.0
                    : (at.steps > 0 ? static_cast<double>(at.step) / static_cast<double>(at.steps)
                                    : 0.0);
    }
    progress.Update(static_cast<int64_t>(1000 * share / static_cast<double>(jobs.size())),
                    fmt::format("{} of {} trained", finished, jobs.size()));
  };
  return study::RunBatch(*executor, jobs, options);
}

// A program of the user's own may have judged its network on other pixels or images.
void NoteOtherAccuracy(const study::TrialResult& result, const FinalistRow& row) {
  constexpr double kTolerance = 0.01;
  const double reported = result.metrics.at("accuracy");
  if (std::abs(reported - row.accuracy) <= kTolerance) return;
  spdlog::warn(
      "{}: its training reported an accuracy of {}, on the test images it is {}: do both mean the "
      "same images, and the same preprocessing?",
      row.name, FormatPercent(reported), FormatPercent(row.accuracy));
}

FinalistRow FailedRow(const Contender& contender, const std::string& problem) {
  FinalistRow row;
  row.name = contender.name;
  row.kind = contender.kind;
  row.origin = contender.origin;
  row.lut_us = contender.lut_us;
  row.measured_us = contender.measured_us;
  row.problem = problem;
  return row;
}

std::vector<Judged> JudgeAll(const StudyContext& context, const study::Store& store,
                             const std::vector<Contender>& contenders,
                             const std::vector<study::TrialResult>& results) {
  const deploy::SearchCost cost{.trials = static_cast<int>(store.Trials().size()),
                                .search_seconds = study::SearchSeconds(store)};
  std::vector<Judged> judged;
  Progress progress({.stage = "verifying and timing",
                     .total = std::ssize(contenders),
                     .quiet = context.options.quiet});
  for (size_t i = 0; i < contenders.size(); ++i) {
    progress.Update(static_cast<int64_t>(i), contenders[i].name);
    Judged& one = judged.emplace_back();
    if (!results[i].ok) {
      one.row = FailedRow(contenders[i], results[i].error);
      continue;
    }
    try {
      one = Judge(context, cost, contenders[i]);
      NoteOtherAccuracy(results[i], one.row);
    } catch (const Error& error) {
      // What one network's weights make impossible is not the others' end; a full disk is.
      if (error.kind() != ErrorKind::kInput) throw;
      spdlog::warn("{}: {}", contenders[i].name, error.what());
      one.row = FailedRow(contenders[i], error.what());
    }
  }
  return judged;
}

// Of an earlier choice, which had more.
void RemovePackagesAfter(const fs::path& finalists, int last) {
  for (int place = last + 1; fs::exists(finalists / fmt::format("{:02}", place)); ++place)
    fs::remove_all(finalists / fmt::format("{:02}", place));
}

}  // namespace

FinalistTable MakeFinalists(const StudyContext& context, study::Store& store,
                            const study::SubspaceSource& source,
                            const latency::Estimator& estimator) {
  FinalistTable table{.latency_budget_us = context.config.target.latency_us,
                      .accuracy_target = context.config.target.accuracy,
                      .rows = {},
                      .latency_check = {},
                      .left_out = {}};
  const std::vector<Contender> contenders =
      ChooseContenders(context, store, source, estimator, table);
  const std::vector<study::TrialResult> results = TrainContenders(context, contenders);

  std::vector<Judged> judged = JudgeAll(context, store, contenders, results);
  // Finalists first; those that meet the targets before the others; then by accuracy.
  std::ranges::stable_sort(judged, [](const Judged& a, const Judged& b) {
    const auto key = [](const FinalistRow& row) {
      return std::tuple(row.kind != "finalist", row.kind == "finalist" && !row.meets_target,
                        -row.accuracy_exported);
    };
    return key(a.row) < key(b.row);
  });
  int place = 0;
  for (Judged& one : judged) {
    if (one.row.kind == "finalist" && one.row.problem.empty()) {
      one.row.name = fmt::format("finalist {:02}", ++place);
      one.row.path = fmt::format("finalists/{:02}", place);
      deploy::WritePackage(context.options.folder / one.row.path, one.package);
    }
    table.rows.push_back(one.row);
  }
  RemovePackagesAfter(context.options.folder / "finalists", place);
  WriteFileAtomically(context.options.folder / "finalists.json", ToJson(table).dump(2) + "\n");
  store.LogEvent(fmt::format("finalists made: {} networks judged", table.rows.size()));
  return table;
}

}  // namespace lathe::cli
