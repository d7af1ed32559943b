#include "search/gp.h"

#include <gtest/gtest.h>

#include <Eigen/LU>
#include <cmath>

#include "base/error.h"
#include "base/random.h"
#include "search/gp_fit.h"
#include "search/lbfgs.h"

namespace lathe::search {
namespace {

// Known answers from scikit-learn 1.9.1: GaussianProcessRegressor(ConstantKernel(1.7) *
// Matern([0.4, 0.4, 1.3], nu=2.5) + WhiteKernel(0.05), optimizer=None, alpha=0), fitted to these
// five points.
GpInputs FivePoints() {
  GpInputs inputs{.rows = Eigen::MatrixXd(5, 3), .groups = {0, 0, 1}};
  inputs.rows << 0.1, 0.2, 0.5, 0.9, 0.4, 0.1, 0.3, 0.8, 0.7, 0.6, 0.6, 0.2, 0.05, 0.95, 0.9;
  return inputs;
}

Eigen::VectorXd FiveTargets() { return Eigen::VectorXd{{0.5, -1.2, 0.8, -0.3, 1.1}}; }

GpHyperparameters Fixed() {
  return {.log_length = Eigen::VectorXd{{std::log(0.4), std::log(1.3)}},
          .log_signal = std::log(1.7),
          .log_noise = std::log(0.05)};
}

// Mean and covariance of the function at `points`, given targets at all of `evidence`.
struct Answer {
  Eigen::VectorXd mean;
  Eigen::MatrixXd covariance;
};
Answer Predict(const GaussianProcess& process, const Eigen::MatrixXd& evidence,
               const Eigen::VectorXd& targets, const Eigen::MatrixXd& points) {
  const GaussianProcess::Features known = process.FeaturesOf(evidence);
  const Eigen::VectorXd precisions = (known.residual.array() + process.noise()).inverse();
  Eigen::MatrixXd information = Eigen::MatrixXd::Zero(process.size(), process.size());
  AddInformation(known.values, precisions, information);
  const WeightPosterior weights(information, known.values * precisions.cwiseProduct(targets));
  const Predictor predictor(process, weights);
  const Predictor::Prediction prediction = predictor.At(points);
  const Eigen::MatrixXd explained = predictor.Explained(points);
  Answer answer{
      .mean = prediction.means.row(0).transpose(),
      .covariance = process.PriorCovariance(points, points) - explained.transpose() * explained};
  EXPECT_TRUE(prediction.variances.isApprox(answer.covariance.diagonal(), 1e-9));
  return answer;
}

TEST(GaussianProcess, PosteriorMatchesScikitLearn) {
  const GaussianProcess process(FivePoints(), Fixed());
  Eigen::MatrixXd points(2, 3);
  points << 0.2, 0.3, 0.4, 0.8, 0.9, 0.6;
  const Answer answer = Predict(process, FivePoints().rows, FiveTargets(), points);
  EXPECT_NEAR(answer.mean[0], 0.43842246521738, 1e-10);
  EXPECT_NEAR(answer.mean[1], -0.17136111037054, 1e-10);
  EXPECT_NEAR(answer.covariance(0, 0), 0.29125029179298, 1e-10);
  EXPECT_NEAR(answer.covariance(1, 1), 1.15754450443526, 1e-10);
}

TEST(MarginalLikelihood, ValueAndGradientMatchScikitLearn) {
  const MarginalLikelihood likelihood(FivePoints(), FiveTargets());
  Eigen::VectorXd gradient;
  EXPECT_NEAR(likelihood(Fixed().Pack(), &gradient), -6.1583863803446, 1e-10);
  // The first two length scales of scikit-learn's kernel are one group here.
  EXPECT_NEAR(gradient[0], 0.81242304223787 + 0.59595765788287, 1e-9);
  EXPECT_NEAR(gradient[1], 0.09483536305658, 1e-9);
  EXPECT_NEAR(gradient[2], -1.51256000841756, 1e-9);
  EXPECT_NEAR(gradient[3], -0.10669971224549, 1e-9);
}

void ExpectGradientOfDifferences(const MarginalLikelihood& likelihood, const Eigen::VectorXd& at,
                                 const Eigen::VectorXd& gradient) {
  for (Eigen::Index i = 0; i < at.size(); ++i) {
    constexpr double kStep = 1e-5;
    Eigen::VectorXd up = at, down = at;
    up[i] += kStep;
    down[i] -= kStep;
    const double difference = (likelihood(up, nullptr) - likelihood(down, nullptr)) / (2 * kStep);
    EXPECT_NEAR(gradient[i], difference, 1e-4 * std::max(1.0, std::abs(difference)));
  }
}

TEST(MarginalLikelihood, GradientMatchesFiniteDifferences) {
  Random random(3);
  GpInputs inputs{.rows = Eigen::MatrixXd(20, 6), .groups = {0, 1, 1, 2, 3, 4}};
  for (double& value : inputs.rows.reshaped()) value = random.Uniform();
  inputs.rows.row(7) = inputs.rows.row(4);  // the same point twice
  Eigen::VectorXd targets(20);
  for (double& value : targets) value = random.Normal();
  const MarginalLikelihood likelihood(inputs, targets);
  for (int round = 0; round < 5; ++round) {
    Eigen::VectorXd at(7), gradient;
    for (double& value : at) value = random.Normal() - 0.5;
    likelihood(at, &gradient);
    ExpectGradientOfDifferences(likelihood, at, gradient);
  }
}

// Two groups of the Matern kernel in three columns, then two additive groups in four.
GpInputs WithAdditivePart(Random& random) {
  GpInputs inputs{
      .rows = Eigen::MatrixXd(15, 7), .groups = {0, 1, 1}, .additive_groups = {0, 0, 1, 1}};
  for (double& value : inputs.rows.reshaped()) value = random.Uniform();
  return inputs;
}

TEST(MarginalLikelihood, GradientOfTheAdditivePartMatchesFiniteDifferences) {
  Random random(11);
  const GpInputs inputs = WithAdditivePart(random);
  Eigen::VectorXd targets(15);
  for (double& value : targets) value = random.Normal();
  const MarginalLikelihood likelihood(inputs, targets);
  for (int round = 0; round < 5; ++round) {
    Eigen::VectorXd at(6), gradient;
    for (double& value : at) value = random.Normal() - 0.5;
    likelihood(at, &gradient);
    ASSERT_EQ(gradient.size(), 6);
    ExpectGradientOfDifferences(likelihood, at, gradient);
  }
}

// The posterior by the textbook's formulas (2.25) and (2.26), with the kernel written out.
TEST(GaussianProcess, AddsTheKernelsOfTheAdditivePart) {
  Random random(12);
  const GpInputs inputs = WithAdditivePart(random);
  Eigen::VectorXd targets(15);
  for (double& value : targets) value = random.Normal();
  const GpHyperparameters parameters{.log_length = Eigen::VectorXd{{-0.3, 0.4}},
                                     .log_signal = 0.2,
                                     .log_noise = -3,
                                     .log_additive = Eigen::VectorXd{{0.5, -1.0}}};
  const auto kernel = [&](const Eigen::RowVectorXd& a, const Eigen::RowVectorXd& b) {
    const Eigen::RowVectorXd d = a - b;
    const double squares =
        d[0] * d[0] * std::exp(0.6) + d.segment(1, 2).squaredNorm() * std::exp(-0.8);
    const double r = std::sqrt(5 * squares);
    return std::exp(0.2) * (1 + r + r * r / 3) * std::exp(-r) +
           std::exp(0.5) * a.segment(3, 2).dot(b.segment(3, 2)) +
           std::exp(-1.0) * a.segment(5, 2).dot(b.segment(5, 2));
  };
  Eigen::MatrixXd covariance(15, 15);
  Eigen::VectorXd cross(15);
  Eigen::RowVectorXd point(7);
  for (double& value : point) value = random.Uniform();
  for (Eigen::Index i = 0; i < 15; ++i) {
    cross[i] = kernel(inputs.rows.row(i), point);
    for (Eigen::Index j = 0; j < 15; ++j) {
      covariance(i, j) =
          kernel(inputs.rows.row(i), inputs.rows.row(j)) + (i == j ? std::exp(-3.0) : 0);
    }
  }
  const Eigen::VectorXd weights = covariance.fullPivLu().solve(cross);
  const Answer answer = Predict(GaussianProcess(inputs, parameters), inputs.rows, targets, point);
  EXPECT_NEAR(answer.mean[0], weights.dot(targets), 1e-9);
  EXPECT_NEAR(answer.covariance(0, 0), kernel(point, point) - weights.dot(cross), 1e-9);
}

// With fewer inducing points than evidence the answer is near the exact one, and never more certain
// than it is right to be.
TEST(GaussianProcess, AHalfOfThePointsStandsForAll) {
  Random random(21);
  GpInputs inputs{.rows = Eigen::MatrixXd(200, 3), .groups = {0, 1, 2}};
  for (double& value : inputs.rows.reshaped()) value = random.Uniform();
  Eigen::VectorXd targets(200);
  for (Eigen::Index i = 0; i < 200; ++i) {
    targets[i] = std::sin(3 * inputs.rows(i, 0)) + inputs.rows(i, 1) + 0.05 * random.Normal();
  }
  const GpHyperparameters parameters{.log_length = Eigen::VectorXd{{-0.5, 0.0, 0.5}},
                                     .log_signal = 0.0,
                                     .log_noise = std::log(0.0025)};
  Eigen::MatrixXd points(50, 3);
  for (double& value : points.reshaped()) value = random.Uniform();
  GpInputs half = inputs;
  half.rows = inputs.rows.topRows(100);
  const Answer exact = Predict(GaussianProcess(inputs, parameters), inputs.rows, targets, points);
  const Answer sparse = Predict(GaussianProcess(half, parameters), inputs.rows, targets, points);
  const Eigen::ArrayXd deviation = exact.covariance.diagonal().array().sqrt();
  EXPECT_LT(((exact.mean - sparse.mean).array() / deviation).abs().maxCoeff(), 1);
  EXPECT_GT((sparse.covariance.diagonal().array().sqrt() / deviation).minCoeff(), 0.8);
  EXPECT_LT((sparse.covariance.diagonal().array().sqrt() / deviation).maxCoeff(), 2.5);
}

TEST(GpPrior, HasTheCovarianceItWasGiven) {
  GpPrior prior(6);
  prior.Set(0, 2, -1, 0.5);
  prior.Set(2, 3, 4, 2, 0.75);
  Eigen::MatrixXd covariance = Eigen::MatrixXd::Identity(6, 6);
  covariance.topLeftCorner(2, 2) *= 0.25;
  covariance.block(2, 2, 3, 3).setConstant(3);
  covariance.diagonal().segment(2, 3).setConstant(4);
  EXPECT_TRUE((prior.precision * covariance).isIdentity(1e-12));
  EXPECT_EQ(prior.mean, (Eigen::VectorXd{{-1, -1, 4, 4, 4, 0}}));
}

// What two inputs say of their lengths holds for the third as well.
TEST(FitHyperparameters, LengthsThatCorrelateAreLearnedTogether) {
  Random random(5);
  GpInputs inputs{.rows = Eigen::MatrixXd(40, 3), .groups = {0, 1, 2}};
  for (double& value : inputs.rows.reshaped()) value = random.Uniform();
  Eigen::VectorXd targets(40);
  for (Eigen::Index i = 0; i < 40; ++i)
    targets[i] = std::sin(6 * inputs.rows(i, 0)) + std::sin(6 * inputs.rows(i, 1));
  inputs.rows.col(2).setConstant(0.5);  // says nothing
  const auto unseen = [&](double correlation) {
    GpPrior prior(5);
    prior.Set(0, 3, 2, 1.7, correlation);
    prior.Set(4, 1, -4, 1);
    return FitHyperparameters(inputs, targets, prior).hyperparameters.log_length[2];
  };
  EXPECT_NEAR(unseen(0), 2, 0.01);
  EXPECT_LT(unseen(0.9), 1.5);
}

TEST(FitHyperparameters, FindsWhichInputMatters) {
  Random random(5);
  GpInputs inputs{.rows = Eigen::MatrixXd(60, 3), .groups = {0, 1, 2}};
  for (double& value : inputs.rows.reshaped()) value = random.Uniform();
  Eigen::VectorXd targets(60);
  for (Eigen::Index i = 0; i < 60; ++i) {
    targets[i] = 1.4 * std::sin(6 * inputs.rows(i, 1)) + 0.1 * random.Normal();
  }
  GpPrior prior(5);
  prior.Set(0, 3, 1, 1.7);
  prior.Set(3, 1, 0, 1);
  prior.Set(4, 1, -4, 1);
  const GpHyperparameters fit = FitHyperparameters(inputs, targets, prior).hyperparameters;
  EXPECT_LT(fit.log_length[1] + 1, fit.log_length[0]);
  EXPECT_LT(fit.log_length[1] + 1, fit.log_length[2]);
  EXPECT_NEAR(fit.log_noise, std::log(0.01), 0.8);
}

TEST(MinimiseLbfgs, SolvesRosenbrock) {
  const auto rosenbrock = [](const Eigen::VectorXd& x, Eigen::VectorXd& gradient) {
    const double a = 1 - x[0], b = x[1] - x[0] * x[0];
    gradient[0] = -2 * a - 400 * x[0] * b;
    gradient[1] = 200 * b;
    return a * a + 100 * b * b;
  };
  const LbfgsResult result = MinimiseLbfgs(rosenbrock, Eigen::VectorXd{{-1.2, 1.0}},
                                           {.iterations = 200, .gradient_tolerance = 1e-8});
  EXPECT_NEAR(result.point[0], 1, 1e-6);
  EXPECT_NEAR(result.point[1], 1, 1e-6);
}

TEST(StableCholesky, AddsJitterToASingularMatrix) {
  const Eigen::MatrixXd singular = Eigen::MatrixXd::Ones(30, 30);
  const Eigen::MatrixXd lower = StableCholesky(singular);
  EXPECT_TRUE((lower * lower.transpose()).isApprox(singular, 1e-3));
  EXPECT_THROW(StableCholesky(-singular), Error);
}

}  // namespace
}  // namespace lathe::search
