// The calls of a study's proposer, as study.db keeps them. In their order they bring a new proposer
// to where the old one was (search/proposer.h), so a killed search proposes what it would have
// proposed, and a finished one can be checked.
#pragma once

#include <cstdint>
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
};

}  // namespace lathe::study
