// lathe search STUDY.toml: the whole job.
#include <optional>
#include <sstream>
#include <string>

#include "base/error.h"
#include "base/log.h"
#include "base/table.h"
#include "cli/common.h"
#include "cli/search_estimate.h"
#include "cli/search_job.h"
#include "cli/study_start.h"
#include "study/config.h"

namespace lathe::cli {
namespace {

// The resolved study, then the estimate as comments, so that the whole is a study file.
void DryRun(const study::StudyConfig& config, const SearchOptions& options, bool try_one,
            bool json) {
  StudyContext context = OpenStudy(config, options);
  ReadNewSources(config, context.space, nullptr);
  std::optional<SearchEstimate> estimate;
  if (try_one && CanEstimate(config)) estimate = EstimateSearch(std::move(context));
  if (json) {
    PrintJson({{"study", config.resolved_toml},
               {"estimate", estimate ? ToJson(*estimate) : nlohmann::ordered_json()}});
    return;
  }
  std::string text = config.resolved_toml + "\n";
  if (estimate) {
    std::istringstream lines(FormatTable(ToRows(*estimate, config)));
    for (std::string line; std::getline(lines, line);) text += "# " + line + "\n";
  } else if (try_one) {
    text += "# No candidate was tried: it would train here, and the study trains elsewhere.\n";
  }
  PrintText(text);
}

}  // namespace

void AddSearchCommand(CLI::App& app, const Globals& globals, Action& action) {
  CLI::App* command =
      app.add_subcommand("search", "Search, train, rank and export networks for a study file");
  struct Flags {
    std::string study, folder;
    std::vector<std::string> set;
    bool resume = false, dry_run = false, no_estimate = false, estimate = false;
  };
  auto flags = std::make_shared<Flags>();
  command->add_option("study", flags->study, "Study file (TOML)")->required();
  command->add_option("--dir", flags->folder, "Folder of the study's results (default: runs/NAME)");
  command->add_flag("--resume", flags->resume, "Continue a search that was stopped or killed");
  command
      ->add_option("--set", flags->set, "Override a key of the study file: --set search.trials=8")
      ->allow_extra_args(false);
  command->add_flag("--dry-run", flags->dry_run,
                    "Check everything, run one candidate from training to package for a moment, "
                    "print the resolved study and how long the search will take");
  command
      ->add_flag("--no-estimate", flags->no_estimate,
                 "With --dry-run: check and print, without running a candidate")
      ->needs("--dry-run");
  command
      ->add_flag("--estimate", flags->estimate,
                 "Likewise, but print only how long the search will take")
      ->excludes("--dry-run");
  command->callback([&globals, &action, flags] {
    action = [&globals, flags] {
      std::vector<std::string> overrides = flags->set;
      if (globals.seed_given) overrides.push_back(fmt::format("study.seed={}", globals.seed));
      const study::StudyConfig config = study::LoadStudy(flags->study, overrides);
      SearchOptions options{.folder = flags->folder.empty()
                                          ? std::filesystem::path("runs") / config.name
                                          : std::filesystem::path(flags->folder),
                            .overrides = overrides,
                            .resume = flags->resume,
                            .quiet = globals.quiet};
      if (flags->dry_run) {
        DryRun(config, options, !flags->no_estimate, globals.json);
        return 0;
      }
      if (flags->estimate) {
        const SearchEstimate estimate = EstimateSearch(OpenStudy(config, options));
        globals.json ? PrintJson(ToJson(estimate))
                     : PrintText(FormatTable(ToRows(estimate, config)));
        return 0;
      }
      return RunSearch(config, options, globals.json);
    };
  });
}

}  // namespace lathe::cli
