// What a study starts from: networks of [search] enqueue and results of [search] warm_start.
#pragma once

#include <string>
#include <vector>

#include "study/config.h"
#include "study/controller.h"
#include "study/store.h"
#include "study/subspace_source.h"
#include "study/warm_start.h"

namespace lathe::cli {

// Of a network file, a name of the zoo, or an encoding. Throws kInput naming the first layer or
// gene that does not fit the space, with the nearest encoding.
space::Encoding EncodingOf(const std::string& text, const space::SearchSpace& space);
// Of the networks to try first, in order. Throws kInput naming the network, and the first layer or
// gene that does not fit the space, with the nearest encoding.
std::vector<space::Encoding> EnqueuedEncodings(const study::StudyConfig& config,
                                               const space::SearchSpace& space);
// Throws kInput naming the network and its latency unless all lie in the sub-space.
void CheckEnqueued(const study::StudyConfig& config, const std::vector<space::Encoding>& enqueued,
                   const study::SubspaceSource& source);

// Empty if it lies in the sub-space.
std::string WhyNotTried(const study::StudyConfig& config, const space::Encoding& encoding,
                        const study::SubspaceSource& source);

// The sources of [search] warm_start that this study has not taken yet; without a store, all.
std::vector<study::EarlierResults> ReadNewSources(const study::StudyConfig& config,
                                                  const space::SearchSpace& space,
                                                  const study::Store* store);

// Imports them, once and for all. Returns the networks that are to be trained first because of this
// or an earlier call.
std::vector<space::Encoding> ImportEarlier(const std::vector<study::EarlierResults>& earlier,
                                           const study::StudyConfig& config,
                                           const study::SubspaceSource& source,
                                           const study::ControllerOptions& options,
                                           const study::ControllerHooks& hooks,
                                           study::Store& store);

}  // namespace lathe::cli
