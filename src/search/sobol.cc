#include <algorithm>
#include <limits>

#include "search/history.h"
#include "search/proposers.h"
#include "space/sobol.h"

namespace lathe::search {
namespace {

constexpr int kDraws = 512;

class SobolProposer : public Proposer {
 public:
  SobolProposer(CandidateSource& source, const ProposerOptions& options)
      : source_(source),
        options_(options),
        sequence_(std::max<size_t>(1, options.dimensions.size()), space::Scramble::kOwen,
                  SubSeed(options.seed, "sobol")) {}

  std::optional<Candidate> Ask(int64_t trial) override {
    Random random(SubSeed(options_.seed, "ask", static_cast<uint64_t>(trial)));
    std::vector<Candidate> draws = DrawDistinct(source_, history_, kDraws, random);
    std::optional<Candidate> nearest;
    if (draws.empty()) {
      nearest = DrawUnknown(source_, history_, random);
    } else {
      const std::vector<double> point = Point(static_cast<uint64_t>(trial));
      nearest = *std::ranges::min_element(
          draws, {}, [&](const Candidate& draw) { return Distance(draw, point); });
    }
    if (nearest) history_.Add(trial, *nearest);
    return nearest;
  }
  void Tell(int64_t trial, const Outcome& outcome) override { history_.Tell(trial, outcome); }
  void Report(int64_t trial, int step, double value) override {
    history_.Report(trial, step, value);
  }
  void Restore(int64_t trial, const Candidate& candidate) override {
    history_.Add(trial, candidate);
  }

 private:
  std::vector<double> Point(uint64_t index) const {
    std::vector<double> point;
    std::vector<uint32_t> block(space::SobolSequence::kBlock);
    for (size_t d = 0; d < sequence_.dimensions(); ++d) {
      sequence_.Block(index / block.size(), d, block.data());
      point.push_back((block[index % block.size()] + 0.5) * 0x1p-32);
    }
    return point;
  }

  // Squared, over the ranks of ordinal genes; half for another choice of a categorical one.
  double Distance(const Candidate& candidate, const std::vector<double>& point) const {
    double sum = 0;
    for (size_t d = 0; d < options_.dimensions.size(); ++d) {
      const Dimension& dimension = options_.dimensions[d];
      const auto count = static_cast<double>(dimension.choices.size());
      const auto rank =
          static_cast<double>(std::ranges::lower_bound(dimension.choices, candidate.encoding[d]) -
                              dimension.choices.begin());
      const double offset = (rank + 0.5) / count - point[d];
      sum += dimension.ordinal ? offset * offset : (2 * std::abs(offset) * count > 1 ? 0.5 : 0);
    }
    return sum;
  }

  CandidateSource& source_;
  const ProposerOptions options_;
  const space::SobolSequence sequence_;
  History history_;
};

}  // namespace

std::unique_ptr<Proposer> MakeSobolProposer(CandidateSource& source,
                                            const ProposerOptions& options) {
  return std::make_unique<SobolProposer>(source, options);
}

}  // namespace lathe::search
