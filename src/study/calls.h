// The calls of a study's proposer, as study.db keeps them. In their order they bring a new proposer
// to where the old one was (search/proposer.h), so a killed search proposes what it would have
// proposed, and a finished one can be checked.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>

namespace lathe::study {

enum class CallKind {
  kAsk,     // the proposer proposed the trial
  kAdd,     // the trial came from elsewhere: Restore()
  kReport,  // the trial's objective after `step`
  kTell     // its end; no value: it has no objective
};

struct Call {
  CallKind kind = CallKind::kAsk;
  int64_t trial = 0;
  std::optional<int> step = {};      // of a report
  std::optional<double> value = {};  // of a report (none: not a number) or an end

  int reported_step() const { return step.value_or(0); }
  double reported_value() const { return value.value_or(std::numeric_limits<double>::quiet_NaN()); }
};

}  // namespace lathe::study
