// Local search for the candidate with the highest score.
#pragma once

#include <functional>
#include <limits>

#include "base/random.h"
#include "search/proposer.h"
#include "search/surrogate.h"

namespace lathe::search {

struct ClimbStart {
  Candidate candidate;
  double score = -std::numeric_limits<double>::infinity();  // any neighbour is better
};

// Ascent over single gene changes; all it scores joins the pool, about 450 candidates at most. Each
// step goes to the best of a few changes drawn at random; when none of them gains anything, of all
// others. `is_new` says whether a candidate may be scored; it is asked once for each that is.
void Climb(Pool& pool, CandidateSource& source, const std::function<bool(const Candidate&)>& is_new,
           ClimbStart start, Random& random);

}  // namespace lathe::search
