// study.db: SQLite in Optuna 5's own schema (optuna.load_study and optuna-dashboard open it
// unchanged) with Lathe's extra tables beside it. One writer, the controller; every change is
// durable when the call returns, or the InOneWrite() around it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "search/proposer.h"
#include "study/calls.h"
#include "study/trial.h"

namespace lathe::study {

struct Parameter {
  std::string name;
  std::vector<int> choices;
  bool ordinal = true;
};

struct TrialRecord {
  int64_t number = 0;
  TrialState state = TrialState::kWaiting;
  std::vector<int> encoding;
  double latency_us = 0;                  // from the LUT
  std::optional<double> value;            // the objective; of a pruned trial, the last one reported
  std::map<std::string, double> metrics;  // result metrics, and "params", "macs"
  std::string reason;                     // why it failed, was pruned or restarted
  int starts = 0;                         // how often it was started
  double begin = 0, end = 0;              // Unix seconds; 0: not yet
  std::string imported_from = {};  // where its result is from; empty: it was trained in this study
  int crashes = 0;                 // how often it died by itself, as opposed to with the controller
  std::map<std::string, double> constraints =
      {};  // Optuna's: name -> violation, at most 0 where met; set on creation

  double Metric(const std::string& name) const;  // 0 when there is none
  std::optional<double> Outcome() const;         // what the proposer is told at its end
};

struct TrialCounts {
  std::map<TrialState, int64_t> states;
  int64_t imported = 0;  // among the complete ones
};

// What a trial said after an epoch.
struct EpochReport {
  int step = 0;
  double measured = 0;   // the objective without its latency: Optuna's intermediate value
  double objective = 0;  // what the proposer is told
};

// Every change of a trial that the proposer hears of is written together with the call that tells
// it, so the log of calls (Calls()) and the states of the trials never disagree.
class Store {
 public:
  // Creates the file, or opens it when it holds this study with these parameters; throws kInput
  // otherwise (not a database, another study or goal, newer version). For Goal::kFront Optuna sees
  // two values, the objective and the latency in microseconds. A study of an older version is
  // brought up to date: its trials become calls in the order of their numbers, as if they had been
  // imported.
  Store(const std::filesystem::path& path, const std::string& study_name,
        const std::vector<Parameter>& parameters, search::Goal goal = search::Goal::kLeast);
  // Opens an existing one read-only, whoever made it.
  static Store OpenReadOnly(const std::filesystem::path& path);
  ~Store();
  Store(Store&&) noexcept;

  int64_t next_number() const;
  // WAITING; number == next_number(). `call`: kAsk, or kAdd for one that nobody proposed.
  void Create(const TrialRecord& trial, CallKind call = CallKind::kAsk);
  // COMPLETE trials from elsewhere, numbered from next_number(), together with a value (SetValue())
  // that remembers it: all or nothing.
  void Import(const std::vector<TrialRecord>& trials, const std::string& key,
              const std::string& value);
  void SetRunning(int64_t number);  // counts a start
  void AddCrash(int64_t number, const std::string& reason);
  // False: this step of the trial was reported before, and nothing changes.
  bool AddReport(int64_t number, const EpochReport& report);
  // COMPLETE, PRUNED or FAIL. Finishing a finished trial again is an error: it is how "exactly
  // once" is enforced.
  void Finish(const TrialRecord& trial);
  std::vector<TrialRecord> Trials() const;  // by number
  TrialCounts Count() const;                // without reading them
  std::vector<Call> Calls() const;          // in order
  std::string study_name() const;
  std::vector<Parameter> parameters() const;

  // What `changes` does here becomes durable together, when it is done: one write to the disk
  // instead of many. An Error ends it likewise, and goes on; anything else undoes all of it.
  void InOneWrite(const std::function<void()>& changes);

  // The log of decisions, in order ("trial 12 restarted: killed by signal 9").
  void LogEvent(const std::string& text);
  std::vector<std::pair<double, std::string>> Events() const;
  // Small named values of Lathe's own, for example {"stage", "search"}.
  void SetValue(const std::string& key, const std::string& value);
  std::optional<std::string> Value(const std::string& key) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
  explicit Store(std::unique_ptr<Impl> impl);
};

}  // namespace lathe::study
