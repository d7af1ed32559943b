// Which networks are trained in full: the best trials that hold the budget as measured, and the
// widest version of each baseline that does.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "cli/finalists.h"
#include "cli/search_job.h"
#include "latency/estimator.h"
#include "net/network.h"
#include "study/store.h"
#include "study/subspace_source.h"

namespace lathe::cli {

// A network that goes into the final table.
struct Contender {
  std::string name, kind, origin;
  net::Network network;
  double lut_us = 0;
  double measured_us = 0;        // with random weights, before training
  std::filesystem::path folder;  // of its training
  int64_t number = 0;            // of its training; none has two in a study
};

// Finalists first. Kept in the store, as a resumed search must train the same networks; chosen anew
// when there are more trials, or other finalists or baselines are asked for. A network chosen
// before keeps its folder and number, so its training counts. Fills latency_check and left_out of
// the table. Throws kTargetNotReached when there is no trial to choose.
std::vector<Contender> ChooseContenders(const StudyContext& context, study::Store& store,
                                        const study::SubspaceSource& source,
                                        const latency::Estimator& estimator, FinalistTable& table);

}  // namespace lathe::cli
