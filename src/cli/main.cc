// Entry point: parses the command line, runs one subcommand, turns errors into messages and exit
// codes (0 done, 1 failed, 2 bad usage or input, 3 target not reached, 130 interrupted).
#include <spdlog/spdlog.h>

#include <exception>

#include "base/error.h"
#include "base/log.h"
#include "base/process.h"
#include "cli/common.h"
#include "cli/version.h"

int main(int argc, char** argv) {
  using namespace lathe;
  using namespace lathe::cli;

  CLI::App app("Lathe designs image networks for your device, latency budget and data.", "lathe");
  app.set_version_flag("--version", kVersion);
  app.require_subcommand(1);
  app.fallthrough();
  Globals globals;
  app.add_flag("--json", globals.json, "Print results as JSON on stdout");
  app.add_flag("--quiet,-q", globals.quiet, "Only warnings and errors on stderr");
  app.add_flag("--verbose,-v", globals.verbose, "More detail on stderr");
  const CLI::Option* seed =
      app.add_option("--seed", globals.seed, "Seed of everything random")->capture_default_str();

  Action action;
  AddInitCommand(app, globals, action);
  AddSearchCommand(app, globals, action);
  AddSpaceCommand(app, globals, action);
  AddLutCommand(app, globals, action);
  AddNetCommand(app, globals, action);
  AddZooCommand(app, globals, action);
  AddStudyCommand(app, globals, action);
  AddSimulateCommand(app, globals, action);
  AddServeCommand(app, globals, action);
  AddTrialCommand(app, globals, action);
  AddManualCommands(app, action);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? 0 : 2;
  }
  globals.seed_given = seed->count() > 0;
  SetUpLogging(globals.quiet     ? LogLevel::kQuiet
               : globals.verbose ? LogLevel::kVerbose
                                 : LogLevel::kNormal);
  InstallStopHandler();
  try {
    return action();
  } catch (const Error& error) {
    spdlog::error("{}", error.what());
    return error.exit_code();
  } catch (const std::exception& error) {
    spdlog::error("unexpected failure: {}", error.what());
    return 1;
  }
}
