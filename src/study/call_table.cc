#include "study/call_table.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "base/error.h"

namespace lathe::study {
namespace {

constexpr std::array<std::pair<CallKind, std::string_view>, 4> kCallNames = {
    {{CallKind::kAsk, "ask"},
     {CallKind::kAdd, "add"},
     {CallKind::kReport, "report"},
     {CallKind::kTell, "tell"}}};

std::string_view NameOf(CallKind kind) {
  return std::ranges::find(kCallNames, kind, &decltype(kCallNames)::value_type::first)->second;
}

CallKind CallKindOf(const std::string& name, const Database& database) {
  const auto* found =
      std::ranges::find(kCallNames, name, &decltype(kCallNames)::value_type::second);
  if (found != kCallNames.end()) return found->first;
  throw Error(ErrorKind::kInput, "{}: damaged: an unknown call '{}'", database.path().string(),
              name);
}

}  // namespace

void WriteCall(const Database& database, const Call& call) {
  database.Prepare("INSERT INTO lathe_call (kind, trial, step, value) VALUES (?, ?, ?, ?)")
      .Bind(NameOf(call.kind))
      .Bind(call.trial)
      .Bind(call.step ? std::optional<int64_t>(*call.step) : std::nullopt)
      .Bind(call.value)
      .Run();
}

std::vector<Call> ReadCalls(const Database& database) {
  std::vector<Call> calls;
  Statement statement =
      database.Prepare("SELECT kind, trial, step, value FROM lathe_call ORDER BY seq");
  while (statement.Step()) {
    Call call{.kind = CallKindOf(statement.Text(0), database), .trial = statement.Int(1)};
    if (!statement.IsNull(2)) call.step = static_cast<int>(statement.Int(2));
    if (!statement.IsNull(3)) call.value = statement.Real(3);
    calls.push_back(call);
  }
  return calls;
}

}  // namespace lathe::study
