#include "search/history_proposer.h"
#include "search/proposers.h"

namespace lathe::search {
namespace {

class RandomProposer : public HistoryProposer {
 public:
  using HistoryProposer::HistoryProposer;

 protected:
  std::optional<Candidate> Propose(int64_t, Random&) override { return std::nullopt; }
};

}  // namespace

std::unique_ptr<Proposer> MakeRandomProposer(CandidateSource& source,
                                             const ProposerOptions& options) {
  return std::make_unique<RandomProposer>(source, options);
}

}  // namespace lathe::search
