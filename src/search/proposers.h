// The proposers behind MakeProposer(), one source file each.
#pragma once

#include <memory>

#include "search/proposer.h"

namespace lathe::search {

// Independent draws from the source without repetition.
std::unique_ptr<Proposer> MakeRandomProposer(CandidateSource& source,
                                             const ProposerOptions& options);

// Bayesian optimisation: Gaussian process, log expected improvement, fantasies for pending trials.
std::unique_ptr<Proposer> MakeBayesProposer(CandidateSource& source,
                                            const ProposerOptions& options);

}  // namespace lathe::search
