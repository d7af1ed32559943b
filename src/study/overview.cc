#include "study/overview.h"

#include "study/search_clock.h"
#include "study/sqlite.h"
#include "study/store.h"
#include "study/trial_rows.h"

namespace lathe::study {
namespace {

void ReadOpen(const Database& database, Overview& overview) {
  Statement open = database.Prepare(
      "SELECT number, state = 'RUNNING', latency_us, begin_s, starts, reason FROM trials JOIN "
      "lathe_trial USING (trial_id) WHERE state IN ('RUNNING', 'WAITING') ORDER BY number");
  while (open.Step()) {
    overview.open.push_back({.number = open.Int(0),
                             .running = open.Int(1) != 0,
                             .latency_us = open.Real(2),
                             .begin = open.Real(3),
                             .starts = static_cast<int>(open.Int(4)),
                             .reason = open.Text(5)});
  }
}

void ReadBest(const Database& database, Overview& overview) {
  Statement best = database.Prepare(
      "SELECT number, value, latency_us, a.value_json, i.value_json IS NOT NULL FROM trial_values "
      "v JOIN trials t USING (trial_id) JOIN lathe_trial USING (trial_id) "
      "LEFT JOIN trial_user_attributes a ON a.trial_id = t.trial_id AND a.key = 'accuracy' "
      "LEFT JOIN trial_user_attributes i ON i.trial_id = t.trial_id AND i.key = ? "
      "WHERE objective = 0 AND state = 'COMPLETE' ORDER BY value LIMIT 5");
  best.Bind(kImportedFromAttribute);
  while (best.Step()) {
    overview.best.push_back({.number = best.Int(0),
                             .value = best.Real(1),
                             .accuracy = best.Real(3),
                             .latency_us = best.Real(2),
                             .imported = best.Int(4) != 0});
  }
}

void ReadFront(const Database& database, Overview& overview) {
  Statement trials = database.Prepare(
      "SELECT latency_us, CAST(value_json AS REAL) AS accuracy FROM trials JOIN lathe_trial USING "
      "(trial_id) JOIN trial_user_attributes USING (trial_id) WHERE state = 'COMPLETE' AND key = "
      "'accuracy' ORDER BY latency_us, accuracy DESC");
  while (trials.Step()) {
    const double accuracy = trials.Real(1);
    if (!overview.front.empty() && accuracy <= overview.front.back().second) continue;
    overview.front.emplace_back(trials.Real(0), accuracy);
  }
}

}  // namespace

int64_t Overview::Done() const {
  int64_t done = -imported;
  for (const TrialState state : {TrialState::kComplete, TrialState::kPruned, TrialState::kFail}) {
    const auto count = states.find(std::string(Name(state)));
    if (count != states.end()) done += count->second;
  }
  return done;
}

Overview ReadOverview(const std::filesystem::path& path) {
  const Store store = Store::OpenReadOnly(path);
  const TrialCounts counts = store.Count();
  const Database database(path, Database::Mode::kReadOnly);
  const Transaction snapshot(database, Transaction::Kind::kRead);
  Overview overview{.imported = counts.imported, .foreseen_end = ForeseenEnd(store)};
  for (const auto& [state, count] : counts.states)
    overview.states[std::string(Name(state))] = count;
  ReadOpen(database, overview);
  ReadBest(database, overview);
  ReadFront(database, overview);
  Statement events =
      database.Prepare("SELECT time_s, text FROM lathe_event ORDER BY event_id DESC LIMIT 10");
  while (events.Step()) overview.events.emplace_back(events.Real(0), events.Text(1));
  return overview;
}

}  // namespace lathe::study
