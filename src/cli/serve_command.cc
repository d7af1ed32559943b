// lathe serve DIR...: the live page of studies, running or finished.
#include <spdlog/spdlog.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "base/error.h"
#include "base/process.h"
#include "cli/common.h"
#include "cli/live_study.h"
#include "report/server.h"

namespace lathe::cli {
namespace {

namespace fs = std::filesystem;

// The folder itself, or the studies in it: `lathe serve runs` shows all of them.
std::vector<fs::path> StudiesIn(const fs::path& folder) {
  if (!fs::exists(folder)) {
    throw Error(ErrorKind::kInput, "{}: there is no such folder", folder.string());
  }
  if (!fs::is_directory(folder)) {
    throw Error(ErrorKind::kInput, "{}: is no folder; give the folder of a study", folder.string());
  }
  if (fs::exists(folder / "study.db")) return {folder};
  std::vector<fs::path> studies;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (fs::exists(entry.path() / "study.db")) studies.push_back(entry.path());
  }
  std::ranges::sort(studies);
  if (studies.empty()) studies.push_back(folder);  // one that is still to be made
  return studies;
}

struct ServeFlags {
  std::vector<std::string> folders;
  report::ServerOptions server{.host = "127.0.0.1", .port = 8265, .token = ""};
};

int Serve(const Globals& globals, const ServeFlags& flags) {
  std::vector<std::unique_ptr<report::LiveSource>> sources;
  for (const std::string& given : flags.folders) {
    for (const fs::path& folder : StudiesIn(given)) {
      auto study = std::make_unique<LiveStudy>(folder, flags.server.orders);
      const std::optional<std::string> problem = study->Refresh();
      if (problem && study->Exists()) throw Error(ErrorKind::kInput, *problem);
      if (problem) spdlog::warn("{}", *problem);
      sources.push_back(std::move(study));
    }
  }
  const size_t studies = sources.size();
  const report::Server server(std::move(sources), flags.server);
  if (globals.json) {
    PrintJson({{"url", server.url()}, {"studies", studies}});
  } else {
    PrintText(server.url() + "\n");
  }
  spdlog::info("showing {} {}; Ctrl-C ends it", studies, studies == 1 ? "study" : "studies");
  while (!StopRequested()) std::this_thread::sleep_for(std::chrono::milliseconds(200));
  return 0;
}

}  // namespace

void AddServeCommand(CLI::App& app, const Globals& globals, Action& action) {
  CLI::App* command = app.add_subcommand("serve", "Show studies in a browser while they run");
  auto flags = std::make_shared<ServeFlags>();
  command
      ->add_option("folders", flags->folders,
                   "Folders of studies, or one that holds several of them")
      ->required();
  command->add_option("--host", flags->server.host, "Address to listen on")->capture_default_str();
  command->add_option("--port", flags->server.port, "Port to listen on; 0: any that is free")
      ->capture_default_str()
      ->check(CLI::Range(0, 65535));
  command
      ->add_option("--token", flags->server.token,
                   "What others have to know to see the page; needed beyond 127.0.0.1. Better "
                   "given as LATHE_TOKEN: command lines are seen by all users")
      ->envname("LATHE_TOKEN");
  command->add_flag(
      "--orders", flags->server.orders,
      "Let those who see the page stop the search, prune trials and enqueue networks");
  command->callback([&globals, &action, flags] {
    action = [&globals, flags] { return Serve(globals, *flags); };
  });
}

}  // namespace lathe::cli
