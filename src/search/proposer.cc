#include "search/proposer.h"

#include <array>
#include <cmath>

#include "base/config.h"
#include "base/error.h"
#include "search/proposers.h"

namespace lathe::search {
namespace {

using Maker = std::unique_ptr<Proposer> (*)(CandidateSource&, const ProposerOptions&);
constexpr std::array<std::pair<const char*, Maker>, 4> kProposers = {
    {{"bayes", &MakeBayesProposer},
     {"evolution", &MakeEvolutionProposer},
     {"random", &MakeRandomProposer},
     {"sobol", &MakeSobolProposer}}};

}  // namespace

std::unique_ptr<Proposer> MakeProposer(const std::string& name, CandidateSource& source,
                                       const ProposerOptions& options) {
  const std::vector<std::string> names = ProposerNames();
  for (const auto& [known, make] : kProposers) {
    if (name == known) return make(source, options);
  }
  const std::string nearest = NearestName(name, names);
  throw Error(ErrorKind::kInput, "unknown proposer '{}'{}; known: {}", name,
              nearest.empty() ? "" : fmt::format("; did you mean '{}'?", nearest),
              fmt::join(names, ", "));
}

std::vector<std::string> ProposerNames() {
  std::vector<std::string> names;
  for (const auto& [name, make] : kProposers) names.emplace_back(name);
  return names;
}

double Objective::Known(double latency_us) const {
  return alpha == 0 ? 0 : alpha * std::pow(latency_us / 1000, beta);
}

}  // namespace lathe::search
