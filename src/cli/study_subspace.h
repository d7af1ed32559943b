// The sub-space of a study and the proposer that searches it. A search, and whoever looks at it
// later, make them alike here.
#pragma once

#include <filesystem>
#include <memory>

#include "latency/estimator.h"
#include "latency/price_space.h"
#include "search/proposer.h"
#include "space/count.h"
#include "study/config.h"
#include "study/store.h"
#include "study/subspace_source.h"

namespace lathe::cli {

// The study's space with its restrictions.
space::SearchSpace LoadSpace(const study::StudyConfig& config);

// Blocking. `folder`: of the study, for messages.
latency::PricedSpace PriceStudy(const study::StudyConfig& config, const space::SearchSpace& space,
                                space::SearchSpace::Head head, const latency::Estimator& estimator,
                                const std::filesystem::path& folder);

// What [stage1] asks for, in the exact numbers that the tables give.
space::SubspaceOptions SubspaceOf(const study::StudyConfig& config);

std::unique_ptr<search::Proposer> MakeStudyProposer(const study::StudyConfig& config,
                                                    const space::SearchSpace& space,
                                                    search::CandidateSource& source);

// What networks take and give, kept in the store: reading it needs no data set.
void SaveHead(study::Store& store, space::SearchSpace::Head head);
// Throws kInput for a study that has not come so far.
space::SearchSpace::Head SavedHead(const study::Store& store);

}  // namespace lathe::cli
