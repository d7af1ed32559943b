#include "search/history_proposer.h"

namespace lathe::search {

std::optional<Candidate> HistoryProposer::Ask(int64_t trial) {
  Random random = Stream("ask", trial);
  std::optional<Candidate> candidate = Propose(trial, random);
  if (!candidate) candidate = DrawUnknown(source_, history_, random);
  if (candidate) history_.Add(trial, *candidate);
  return candidate;
}

}  // namespace lathe::search
