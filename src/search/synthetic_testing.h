// For tests of proposers, not for products: a small made-up space with ordinal and categorical
// genes, one feature, and an objective with additive and pairwise parts; layers of one kind; what a
// model is told.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "search/beliefs.h"
#include "search/proposer.h"

namespace lathe::search {

class SyntheticSource : public CandidateSource {
 public:
  SyntheticSource(int genes, int choices, int categorical = 0) {
    for (int i = 0; i < genes; ++i) {
      Dimension dimension{
          .name = "gene" + std::to_string(i), .choices = {}, .ordinal = i >= categorical};
      for (int c = 0; c < choices; ++c) dimension.choices.push_back(c * (c + 1));  // uneven steps
      dimensions_.push_back(dimension);
    }
  }

  const std::vector<Dimension>& dimensions() const { return dimensions_; }

  Candidate Describe(const std::vector<int>& encoding) const {
    double sum = 0;
    for (size_t i = 0; i < encoding.size(); ++i)
      sum += Rank(encoding, i) * (1 + 0.1 * static_cast<double>(i));
    return {.encoding = encoding, .features = {std::log(1 + sum)}, .latency_us = 100 + 50 * sum};
  }

  std::vector<Candidate> Draw(int count, Random& random) override {
    std::vector<Candidate> draws;
    for (int i = 0; i < count; ++i) {
      std::vector<int> encoding;
      for (const Dimension& dimension : dimensions_) {
        encoding.push_back(dimension.choices[random.Below(dimension.choices.size())]);
      }
      draws.push_back(Describe(encoding));
    }
    return draws;
  }

  std::vector<Candidate> Neighbours(const Candidate& candidate) override {
    std::vector<Candidate> neighbours;
    for (size_t i = 0; i < dimensions_.size(); ++i) {
      for (int choice : dimensions_[i].choices) {
        std::vector<int> encoding = candidate.encoding;
        encoding[i] = choice;
        if (encoding != candidate.encoding) neighbours.push_back(Describe(encoding));
      }
    }
    return neighbours;
  }

  // Smallest near the middle of each gene, with pairs of neighbouring genes that must agree; about
  // 0 to 3.
  double Value(const Candidate& candidate) const {
    double value = 0;
    for (size_t i = 0; i < dimensions_.size(); ++i) {
      const double rank = Rank(candidate.encoding, i);
      const double best = 0.3 + 0.4 * static_cast<double>(i % 3) / 2;
      value += (rank - best) * (rank - best) / (1 + 0.5 * static_cast<double>(i));
      if (i > 0)
        value += 0.3 * rank * (1 - Rank(candidate.encoding, i - 1)) * (i % 2 == 0 ? 1 : -0.5);
    }
    return value;
  }

 private:
  double Rank(const std::vector<int>& encoding, size_t i) const {
    const std::vector<int>& choices = dimensions_[i].choices;
    double rank = 0;
    while (choices[static_cast<size_t>(rank)] < encoding[i]) ++rank;
    return rank / std::max(1.0, static_cast<double>(choices.size()) - 1);
  }

  std::vector<Dimension> dimensions_;
};

inline std::vector<Dimension> LayersOfAKind(size_t count, const std::vector<int>& choices,
                                            bool ordinal, const std::string& kind) {
  std::vector<Dimension> dimensions;
  for (size_t i = 0; i < count; ++i) {
    dimensions.push_back({.name = "layer" + std::to_string(i),
                          .choices = choices,
                          .ordinal = ordinal,
                          .kind = kind});
  }
  return dimensions;
}

// Refer to the candidates.
inline Beliefs ResultsOf(const std::vector<Candidate>& candidates,
                         const std::vector<double>& values) {
  Beliefs beliefs;
  for (size_t i = 0; i < candidates.size(); ++i) beliefs.Add(candidates[i], values[i], 0);
  beliefs.complete = beliefs.size();
  return beliefs;
}

inline Beliefs ResultsOf(const SyntheticSource& source, const std::vector<Candidate>& candidates) {
  std::vector<double> values;
  for (const Candidate& candidate : candidates) values.push_back(source.Value(candidate));
  return ResultsOf(candidates, values);
}

}  // namespace lathe::search
