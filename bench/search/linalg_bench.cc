// The products of an ask beside Eigen's, in turns: microseconds per candidate, for so many
// candidates at a time, and how many times as fast ours are.
//   linalg_bench
#include "search/linalg.h"

#include <fmt/format.h>

#include <Eigen/Core>
#include <algorithm>
#include <ctime>
#include <functional>
#include <vector>

#include "search/linalg_peer.h"

namespace {

using Eigen::MatrixXd;

double MicrosecondsOf(const std::function<void()>& action, int repeats) {
  const std::clock_t begin = std::clock();
  for (int i = 0; i < repeats; ++i) action();
  return 1e6 * static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC / repeats;
}

double Median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

void Compare(const char* what, int candidates, const std::function<void()>& ours,
             const std::function<void()>& eigen) {
  constexpr int kRounds = 51;
  const int repeats = 4000 / candidates;
  std::vector<double> mine, peers, ratios;
  for (int round = 0; round < kRounds; ++round) {
    mine.push_back(MicrosecondsOf(ours, repeats) / candidates);
    peers.push_back(MicrosecondsOf(eigen, repeats) / candidates);
    ratios.push_back(peers.back() / mine.back());
  }
  std::ranges::sort(ratios);
  fmt::print(
      "{:10} {:4} candidates: {:5.2f} us, Eigen {:5.2f} us, {:.2f} times as fast ({:.2f} to "
      "{:.2f}, quartiles)\n",
      what, candidates, Median(mine), Median(peers), ratios[kRounds / 2], ratios[kRounds / 4],
      ratios[kRounds * 3 / 4]);
}

}  // namespace

int main() {
  using lathe::search::MultiplyInto;
  using lathe::search::MultiplyLowerInPlace;
  constexpr int kInducing = 256, kInputs = 180;
  const MatrixXd inducing = MatrixXd::Random(kInducing, kInputs);
  MatrixXd lower = MatrixXd::Random(kInducing, kInducing).triangularView<Eigen::Lower>();
  lower = lower / 16 + MatrixXd::Identity(kInducing, kInducing);
  fmt::print("kernels: {}\n", lathe::search::LinalgName());
  for (const int candidates : {16, 64, 256}) {
    const MatrixXd points = MatrixXd::Random(candidates, kInputs);
    const MatrixXd before = MatrixXd::Random(kInducing, candidates);
    MatrixXd kernel = before;
    Compare(
        "product", candidates,
        [&] { MultiplyInto(inducing, points, {.transpose_b = true}, kernel); },
        [&] {
          peer::MultiplyByTransposed(kInducing, candidates, kInputs, inducing.data(), points.data(),
                                     kernel.data());
        });
    Compare(
        "triangular", candidates,
        [&] {
          kernel = before;
          MultiplyLowerInPlace(lower, kernel);
        },
        [&] {
          kernel = before;
          peer::MultiplyLower(kInducing, candidates, lower.data(), kernel.data());
        });
  }
}
