// What to try while nothing is known yet.
#pragma once

#include <cstddef>
#include <vector>

#include "search/inputs.h"

namespace lathe::search {

// Indices of `count` candidates, or all: each the one that the prior Gaussian process is least
// certain of once the results of those before it, and of `known`, are there (maximum entropy
// sampling, Shewry and Wynn 1987, one by one). At least one candidate. Costs points x (points +
// pivots^2), where pivots are the known and the chosen ones.
std::vector<size_t> LeastCertain(InputMap map, const std::vector<const Candidate*>& known,
                                 const std::vector<Candidate>& candidates, size_t count);

}  // namespace lathe::search
