#include "cli/study_orders.h"

#include <spdlog/spdlog.h>

#include <csignal>

#include "base/error.h"
#include "base/file.h"
#include "base/process.h"
#include "cli/search_job.h"
#include "cli/study_start.h"
#include "cli/study_subspace.h"
#include "study/config.h"
#include "study/store.h"

namespace lathe::cli {
namespace {

std::string WhenContinued(const fs::path& folder) {
  return IsSearching(folder) ? "" : "; no search is running, so it is done when it is continued";
}

// Takes away every order to stop. Whether there was one.
bool TakeStop(const fs::path& orders_folder) {
  bool any = false;
  for (const study::GivenOrder& given : study::ReadOrders(orders_folder)) {
    if (given.order.kind != study::OrderKind::kStop) continue;
    std::error_code ignored;
    fs::remove(given.file, ignored);
    any = true;
  }
  return any;
}

}  // namespace

std::string OrderStop(const fs::path& folder) {
  if (!IsSearching(folder)) {
    throw Error(ErrorKind::kInput, "{}: no search is running here", folder.string());
  }
  study::GiveOrder(folder / study::kOrdersFolder, {.kind = study::OrderKind::kStop});
  return "the search will stop; running trials save first, and --resume continues them";
}

std::string OrderPrune(const fs::path& folder, int64_t number) {
  const study::Store store = study::Store::OpenReadOnly(folder / "study.db");
  const std::vector<study::TrialRecord> trials = store.Trials();
  if (number < 0 || number >= std::ssize(trials)) {
    throw Error(ErrorKind::kInput, "{}: there is no trial {}", folder.string(), number);
  }
  const study::TrialState state = trials[static_cast<size_t>(number)].state;
  if (study::IsFinished(state)) {
    throw Error(ErrorKind::kInput, "{}: trial {} has ended already ({})", folder.string(), number,
                study::Name(state));
  }
  study::GiveOrder(folder / study::kOrdersFolder,
                   {.kind = study::OrderKind::kPrune, .trial = number});
  return fmt::format("trial {} will be pruned{}", number, WhenContinued(folder));
}

std::string OrderEnqueue(const fs::path& folder, const std::string& network) {
  const study::StudyConfig config = study::LoadStudy(folder / "study.toml");
  const space::Encoding encoding = EncodingOf(network, LoadSpace(config));
  const study::Store store = study::Store::OpenReadOnly(folder / "study.db");
  for (const study::TrialRecord& trial : store.Trials()) {
    if (trial.encoding != encoding) continue;
    throw Error(ErrorKind::kInput, "{}: trial {} is that network already", folder.string(),
                trial.number);
  }
  study::GiveOrder(folder / study::kOrdersFolder,
                   {.kind = study::OrderKind::kEnqueue, .encoding = encoding});
  return fmt::format("{} will be tried next, if it lies in the sub-space{}", network,
                     WhenContinued(folder));
}

StopWanted::StopWanted(const fs::path& study)
    : state_(std::make_shared<State>(
          State{.orders_folder = study / study::kOrdersFolder, .looked = {}})) {
  TakeStop(state_->orders_folder);
}

bool StopWanted::operator()() const {
  constexpr std::chrono::seconds kLookEvery{1};
  if (StopRequested()) return true;
  const auto now = std::chrono::steady_clock::now();
  if (now - state_->looked < kLookEvery) return false;
  state_->looked = now;
  if (!TakeStop(state_->orders_folder)) return false;
  spdlog::info("there is an order to stop");
  std::raise(SIGINT);
  return true;
}

}  // namespace lathe::cli
