// The proposers behind MakeProposer(), one source file each.
#pragma once

#include <memory>

#include "search/proposer.h"

namespace lathe::search {

// Independent draws from the source without repetition.
std::unique_ptr<Proposer> MakeRandomProposer(CandidateSource& source,
                                             const ProposerOptions& options);

// The draws nearest to the points of a scrambled Sobol sequence over the ranks of the genes.
std::unique_ptr<Proposer> MakeSobolProposer(CandidateSource& source,
                                            const ProposerOptions& options);

// Regularised evolution: ageing population, tournaments, one gene changed (Real et al. 2019,
// "Regularized Evolution for Image Classifier Architecture Search", algorithm 1).
std::unique_ptr<Proposer> MakeEvolutionProposer(CandidateSource& source,
                                                const ProposerOptions& options);

// Bayesian optimisation: Gaussian process, log expected improvement (of the least objective or of
// the hypervolume), fantasies for pending trials.
std::unique_ptr<Proposer> MakeBayesProposer(CandidateSource& source,
                                            const ProposerOptions& options);

}  // namespace lathe::search
