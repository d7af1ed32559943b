#include "executor/slurm_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <sstream>

#include "base/error.h"
#include "base/file.h"
#include "base/quote.h"
#include "study/trial.h"

namespace lathe::executor {
namespace {

template <typename Number>
std::optional<Number> ToNumber(std::string_view text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::vector<std::string> Lines(std::string_view text) {
  std::vector<std::string> lines;
  std::istringstream stream{std::string(text)};
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

bool HasAny(std::string_view text, std::initializer_list<std::string_view> words) {
  return std::ranges::any_of(
      words, [&](std::string_view word) { return text.find(word) != std::string_view::npos; });
}

}  // namespace

std::string ToText(const JobScript& script) {
  std::string text = "#!/bin/bash\n# Written by Lathe. Runs the trial of a folder.\n";
  for (const auto& [index, folder] : script.folders) {
    text += fmt::format("folders[{}]={}\n", index, ShellQuoted(folder.string()));
  }
  text += fmt::format(R"sh(folder=${{folders[${{SLURM_ARRAY_TASK_ID:-0}}]}}
job=${{SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}}
[ -d "$folder" ] || exit {}
exec >>"$folder/log.txt" 2>&1
rm -f "$folder/{}"
echo "Slurm job $job${{SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}} on $SLURM_JOB_NODELIST, start $((${{SLURM_RESTART_COUNT:-0}} + 1))"
export OMP_NUM_THREADS={}
# A signal may come before there is a trial to send it to.
trial= stop= sent= near_limit=
stop_trial() {{ if [ "$trial" ]; then sent=yes; kill -TERM "$trial"; else stop=yes; fi; }}
trap stop_trial TERM
trap 'near_limit=yes; stop_trial' USR1
)sh",
                      kNoFolder, kJobExitFile, script.threads);
  for (const std::string& line : script.setup) text += line + "\n";
  std::string command;
  if (script.processes > 1) {
    command = fmt::format("srun --ntasks={} --cpus-per-task={} --kill-on-bad-exit=1 ",
                          script.processes, script.threads);
  }
  for (const std::string& word : script.command) command += ShellQuoted(word) + " ";
  text += fmt::format(R"sh(if [ "$stop" ]; then
  code={}
else
  {}"$folder" &
  trial=$!
  [ "$stop" ] && kill -TERM $trial
  # A signal ends the wait, too: once more, for the code of the trial.
  while
    sent=
    wait $trial
    code=$?
    [ "$sent" ]
  do :; done
fi
echo "$job ${{SLURM_RESTART_COUNT:-0}} $code" >"$folder/{}.new" && mv "$folder/{}.new" "$folder/{}"
if [ "$code" = {} ] && [ "$near_limit" ] && scontrol requeue "$SLURM_JOB_ID"; then
  sleep 60  # Slurm ends this before
fi
exit $code
)sh",
                      study::kTrialContinueMe, command, kJobExitFile, kJobExitFile, kJobExitFile,
                      study::kTrialContinueMe);
  return text;
}

std::optional<JobExit> ReadJobExit(const fs::path& folder) {
  std::error_code missing;
  if (!fs::exists(folder / kJobExitFile, missing)) return std::nullopt;
  std::istringstream text(ReadFile(folder / kJobExitFile));
  JobExit exit;
  if (!(text >> exit.job >> exit.restarts >> exit.code)) return std::nullopt;
  return exit;
}

std::vector<QueueRow> ParseQueue(std::string_view text) {
  constexpr size_t kFields = 6;
  std::vector<QueueRow> rows;
  for (const std::string& line : Lines(text)) {
    std::array<std::string, kFields> fields;
    size_t at = 0, field = 0;
    for (; field + 1 < kFields; ++field) {
      const size_t bar = line.find('|', at);
      if (bar == std::string::npos) break;
      fields[field] = line.substr(at, bar - at);
      at = bar + 1;
    }
    if (field + 1 < kFields) continue;
    fields[field] = line.substr(at);
    const std::optional<int64_t> job = ToNumber<int64_t>(fields[0]);
    if (!job) continue;
    rows.push_back({.job = *job,
                    .index = ToNumber<int>(fields[1]),
                    .state = fields[2],
                    .reason = fields[3] == "None" ? "" : fields[3],
                    .nodes = fields[4],
                    .name = fields[5]});
  }
  return rows;
}

std::map<std::string, AccountRow> ParseAccounts(std::string_view text) {
  std::map<std::string, AccountRow> rows;
  for (const std::string& line : Lines(text)) {
    const size_t first = line.find('|'), second = line.find('|', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string state = line.substr(first + 1, second - first - 1);
    rows[line.substr(0, first)] = {.state = state.substr(0, state.find(' ')),  // "CANCELLED by 0"
                                   .nodes = line.substr(second + 1)};
  }
  return rows;
}

bool HasEnded(std::string_view state) {
  static constexpr std::array<std::string_view, 10> kEnded = {
      "BOOT_FAIL", "CANCELLED",     "COMPLETED", "DEADLINE", "FAILED",
      "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED",  "TIMEOUT"};
  return std::ranges::find(kEnded, state) != kEnded.end();
}

std::optional<int64_t> ParseSubmitted(std::string_view output) {
  for (const std::string& line : Lines(output)) {
    if (const auto job = ToNumber<int64_t>(line.substr(0, line.find(';')))) return job;
  }
  return std::nullopt;
}

Refusal WhyRefused(std::string_view output) {
  if (HasAny(output, {"Unable to contact", "timed out", "temporarily", "try again", "Zero Bytes",
                      "Connection refused", "connect failure", "Communication connection",
                      "Protocol authentication", "not responding", "in standby"})) {
    return Refusal::kLater;
  }
  if (HasAny(output, {"submit limit", "SubmitJobsLimit", "SubmitJobLimit", "MaxSubmit",
                      "MaxJobCount", "Job violates accounting/QOS policy"})) {
    return Refusal::kTooMany;
  }
  if (HasAny(output, {"Invalid job array specification"})) return Refusal::kNoArrays;
  return Refusal::kForGood;
}

std::string MessageOf(std::string_view output) {
  std::string message;
  for (std::string line : Lines(output)) {
    for (const std::string_view prefix : {"sbatch: ", "squeue: ", "scancel: ", "sacct: ",
                                          "slurm_load_jobs ", "error: ", "fatal: "}) {
      if (line.starts_with(prefix)) line.erase(0, prefix.size());
    }
    if (line.empty()) continue;
    message += (message.empty() ? "" : "; ") + line;
  }
  return message.empty() ? "without a message" : message;
}

std::string PlainName(std::string_view text) {
  std::string name(text);
  for (char& c : name) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '.' || c == '_' || c == '-';
    if (!plain) c = '_';
  }
  return name;
}

}  // namespace lathe::executor
