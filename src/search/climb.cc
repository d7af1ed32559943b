#include "search/climb.h"

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

namespace lathe::search {
namespace {

constexpr size_t kMostScored = 450;   // after which no step begins
constexpr size_t kSomeChanges = 16;   // tried in one step, and
constexpr size_t kMostChanges = 128;  // when these gain nothing

}  // namespace

void Climb(Pool& pool, CandidateSource& source, const std::function<bool(const Candidate&)>& is_new,
           ClimbStart start, Random& random) {
  size_t most = kSomeChanges;
  for (size_t scored = 0; scored < kMostScored;) {
    std::vector<Candidate> neighbours = source.Neighbours(start.candidate);
    random.Shuffle(std::span(neighbours));
    std::vector<Candidate> tried;
    for (Candidate& neighbour : neighbours) {
      if (tried.size() == most) break;
      if (is_new(neighbour)) tried.push_back(std::move(neighbour));
    }
    if (tried.empty()) break;
    scored += tried.size();
    const size_t begin = pool.Add(std::move(tried));
    const auto top = static_cast<size_t>(
        std::max_element(pool.scores().begin() + static_cast<std::ptrdiff_t>(begin),
                         pool.scores().end()) -
        pool.scores().begin());
    if (pool.scores()[top] > start.score) {
      start = {.candidate = pool.candidates()[top], .score = pool.scores()[top]};
      most = kSomeChanges;
    } else if (most == kMostChanges) {
      break;
    } else {
      most = kMostChanges;
    }
  }
}

}  // namespace lathe::search
