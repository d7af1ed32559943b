#include "executor/slurm_end.h"

#include <fmt/format.h>

#include "base/process.h"

namespace lathe::executor {

bool LeftEnough(const EndedJob& job) {
  if (study::HasResult(job.folder)) return true;
  if (job.exit && job.exit->code != study::kTrialDone) return true;
  // Who is killed leaves nothing.
  return job.state != "" && job.state != "COMPLETED" && job.state != "FAILED";
}

study::JobEnd EndOf(int64_t trial, const EndedJob& job, double hang_seconds, double save_seconds) {
  study::JobEnd end;
  end.trial = trial;
  if (study::HasResult(job.folder)) return end;
  const std::string& state = job.state;
  if (job.hangs) {
    end.reason = fmt::format("no sign of life for {:g} seconds, so it was cancelled", hang_seconds);
  } else if (job.cancelled ||
             (job.exit && job.exit->code == study::kTrialContinueMe && state != "CANCELLED")) {
    end.continue_me = true;
  } else if (state == "NODE_FAIL" || state == "BOOT_FAIL" || state == "PREEMPTED" ||
             state == "REVOKED") {
    end.continue_me = true;
    end.reason = state == "PREEMPTED" ? "preempted" : "its node failed";
  } else if (state == "CANCELLED") {
    end.reason = "cancelled by somebody else";
  } else if (state == "TIMEOUT" || state == "DEADLINE") {
    end.reason = fmt::format(
        "reached its time limit before it had saved; raise time_limit or save_seconds ({:g}) in "
        "[slurm]",
        save_seconds);
  } else if (state == "OUT_OF_MEMORY") {
    end.reason = "used more memory than it may; raise memory in [slurm]";
  } else if (job.exit && job.exit->code == study::kTrialIoError) {
    end.io_error = true;
  } else if (job.exit) {
    const int code = job.exit->code;
    end.reason = ProcessExit{.code = code, .signal = code > 128 ? code - 128 : 0}.Describe() +
                 (code == study::kTrialDone ? " without a result" : "");
  } else {
    end.reason = fmt::format(
        "ended without a word ({}{}); is the folder on a file system that the nodes share?",
        state.empty() ? "no longer in the queue" : state,
        job.reason.empty() ? "" : ", " + job.reason);
  }
  end.crashed = !end.continue_me && !end.io_error;
  if (!end.reason.empty()) {
    end.reason =
        fmt::format("{}{}: {}", job.name, job.nodes.empty() ? "" : " on " + job.nodes, end.reason);
  }
  return end;
}

}  // namespace lathe::executor
