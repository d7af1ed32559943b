// lathe search STUDY.toml: the whole job.
#include "base/error.h"
#include "base/log.h"
#include "cli/common.h"
#include "cli/search_estimate.h"
#include "cli/search_job.h"
#include "cli/study_start.h"
#include "study/config.h"

namespace lathe::cli {

void AddSearchCommand(CLI::App& app, const Globals& globals, Action& action) {
  CLI::App* command =
      app.add_subcommand("search", "Search, train, rank and export networks for a study file");
  struct Flags {
    std::string study, folder;
    std::vector<std::string> set;
    bool resume = false, dry_run = false, estimate = false;
  };
  auto flags = std::make_shared<Flags>();
  command->add_option("study", flags->study, "Study file (TOML)")->required();
  command->add_option("--dir", flags->folder, "Folder of the study's results (default: runs/NAME)");
  command->add_flag("--resume", flags->resume, "Continue a search that was stopped or killed");
  command
      ->add_option("--set", flags->set, "Override a key of the study file: --set search.trials=8")
      ->allow_extra_args(false);
  command->add_flag("--dry-run", flags->dry_run,
                    "Check the study, data and engine, print the resolved study, do nothing");
  command
      ->add_flag("--estimate", flags->estimate,
                 "Train one candidate for a moment, say how long the search will take, do nothing")
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
        ReadNewSources(config, OpenStudy(config, options).space, nullptr);
        PrintText(config.resolved_toml);
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
