#include "search/first_trials.h"

#include <Eigen/Core>
#include <algorithm>
#include <cmath>

#include "search/gp.h"
#include "search/prior.h"

namespace lathe::search {

std::vector<size_t> LeastCertain(InputMap map, const std::vector<const Candidate*>& known,
                                 const std::vector<Candidate>& candidates, size_t count) {
  std::vector<const Candidate*> points = PointersTo(candidates);
  map.SetScale(points);
  points.insert(points.end(), known.begin(), known.end());
  // Only its kernel is used, so that one inducing point is enough.
  const GaussianProcess process(
      map.Inputs({points.front()}),
      GpHyperparameters::Unpack(PriorFor(map).mean, map.gene_groups() + map.feature_groups()));
  const Eigen::MatrixXd rows = map.Inputs(points).rows;
  const Eigen::MatrixXd covariance = process.PriorCovariance(rows, rows);
  Eigen::VectorXd variance = covariance.diagonal();

  // Pivoted Cholesky decomposition; column i is what the i-th pivot explains of every point.
  const auto open = std::ssize(candidates);
  count = std::min(count, candidates.size());
  Eigen::MatrixXd explained(covariance.rows(), std::ssize(known) + static_cast<int64_t>(count));
  Eigen::Index pivots = 0;
  const auto observe = [&](Eigen::Index point) {
    auto column = explained.col(pivots);
    column = covariance.col(point);
    column.noalias() -= explained.leftCols(pivots) * explained.row(point).head(pivots).transpose();
    column /= std::sqrt(column[point] + process.noise());
    variance -= column.cwiseAbs2();
    ++pivots;
  };
  for (Eigen::Index i = open; i < covariance.rows(); ++i) observe(i);
  std::vector<size_t> chosen;
  while (chosen.size() < count) {
    Eigen::Index least_certain = 0;
    variance.head(open).maxCoeff(&least_certain);
    chosen.push_back(static_cast<size_t>(least_certain));
    observe(least_certain);
    variance[least_certain] = -1;  // never again: observing lowers it further
  }
  return chosen;
}

}  // namespace lathe::search
