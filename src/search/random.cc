#include "base/random.h"

#include "search/history.h"
#include "search/proposers.h"

namespace lathe::search {
namespace {

class RandomProposer : public Proposer {
 public:
  RandomProposer(CandidateSource& source, uint64_t seed) : source_(source), seed_(seed) {}

  std::optional<Candidate> Ask(int64_t trial) override {
    Random random(SubSeed(seed_, "ask", static_cast<uint64_t>(trial)));
    std::optional<Candidate> candidate = DrawUnknown(source_, history_, random);
    if (candidate) history_.Add(trial, *candidate);
    return candidate;
  }
  void Tell(int64_t trial, const Outcome& outcome) override { history_.Tell(trial, outcome); }
  void Report(int64_t trial, int step, double value) override {
    history_.Report(trial, step, value);
  }
  void Restore(int64_t trial, const Candidate& candidate) override {
    history_.Add(trial, candidate);
  }

 private:
  CandidateSource& source_;
  const uint64_t seed_;
  History history_;
};

}  // namespace

std::unique_ptr<Proposer> MakeRandomProposer(CandidateSource& source,
                                             const ProposerOptions& options) {
  return std::make_unique<RandomProposer>(source, options.seed);
}

}  // namespace lathe::search
