#include <algorithm>

#include "search/history_proposer.h"
#include "search/proposers.h"
#include "space/sobol.h"

namespace lathe::search {
namespace {

constexpr int kDraws = 512;

class SobolProposer : public HistoryProposer {
 public:
  SobolProposer(CandidateSource& source, const ProposerOptions& options)
      : HistoryProposer(source, options),
        sequence_(std::max<size_t>(1, options.dimensions.size()), space::Scramble::kOwen,
                  SubSeed(options.seed, "sobol")) {}

 protected:
  std::optional<Candidate> Propose(int64_t trial, Random& random) override {
    const std::vector<Candidate> draws = DrawDistinct(source_, history_, kDraws, random);
    if (draws.empty()) return std::nullopt;
    const std::vector<double> point = Point(static_cast<uint64_t>(trial));
    return *std::ranges::min_element(draws, {},
                                     [&](const Candidate& draw) { return Distance(draw, point); });
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

  const space::SobolSequence sequence_;
};

}  // namespace

std::unique_ptr<Proposer> MakeSobolProposer(CandidateSource& source,
                                            const ProposerOptions& options) {
  return std::make_unique<SobolProposer>(source, options);
}

}  // namespace lathe::search
