#include "search/pruner.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

#include "base/config.h"
#include "base/error.h"
#include "search/beliefs.h"

namespace lathe::search {
namespace {

constexpr std::array<std::string_view, 4> kRules = {"none", "halving", "median", "forecast"};

// What all trials reported at one step.
class Step {
 public:
  struct Place {
    size_t better, all;  // among all that count, the reporting trial included
  };
  Place Add(double latency_us, double value, Goal goal) {
    reports_.push_back({latency_us, value});
    Place place{0, 0};
    for (const Report& report : reports_) {
      if (goal == Goal::kFront && report.latency_us > latency_us) continue;
      ++place.all;
      place.better += report.value < value;
    }
    return place;
  }

 private:
  struct Report {
    double latency_us, value;
  };
  std::vector<Report> reports_;
};

class NoPruner : public Pruner {
 public:
  bool Report(int64_t, double, int, double) override { return false; }
  std::string Reason() const override { return ""; }
};

// The learning curves so far, and what they say about how a running trial will end.
class Curves {
 public:
  explicit Curves(const PrunerOptions& options) : options_(options) {}

  // True: the trial is complete.
  bool Add(int64_t trial, double latency_us, int step, double value) {
    Curve& curve = open_[trial];
    curve[step] = value;
    if (step < options_.last_step) return false;
    complete_.push_back({.latency_us = latency_us, .end = value, .curve = std::move(curve)});
    open_.erase(trial);
    return true;
  }
  void Forget(int64_t trial) { open_.erase(trial); }

  // By how many standard deviations of its forecast a trial that is at `value` after `step` will be
  // worse than the best, of those that are not slower on a front; NaN where everything is the same.
  // Nothing while too few are complete.
  std::optional<double> Shortfall(double latency_us, int step, double value) const {
    double best = std::numeric_limits<double>::infinity();
    std::vector<Forecast::Pair> pairs;
    for (const Complete& other : complete_) {
      if (options_.goal != Goal::kFront || other.latency_us <= latency_us)
        best = std::min(best, other.end);
      const auto there = other.curve.find(step);
      if (there != other.curve.end()) pairs.push_back({there->second, other.end, other.latency_us});
    }
    if (pairs.size() < Forecast::kFewest) return {};
    const Forecast::Promise promise = Forecast(pairs).Of(value, latency_us);
    return (promise.value - best) / std::sqrt(promise.variance);
  }

 private:
  using Curve = std::map<int, double>;  // value by step
  struct Complete {
    double latency_us, end;
    Curve curve;
  };
  const PrunerOptions options_;
  std::map<int64_t, Curve> open_;
  std::vector<Complete> complete_;
};

class HalvingPruner : public Pruner {
 public:
  explicit HalvingPruner(const PrunerOptions& options) : options_(options), curves_(options) {}

  bool Report(int64_t trial, double latency_us, int step, double value) override {
    constexpr double kDeviations = 1.5;
    if (!std::isfinite(value)) return true;
    if (curves_.Add(trial, latency_us, step, value) || !IsRung(step)) return false;
    const Step::Place place = steps_[step].Add(latency_us, value, options_.goal);
    const size_t kept = place.all / static_cast<size_t>(options_.reduction);
    const bool ends =
        place.better >= std::max(static_cast<size_t>(options_.startup), kept) &&
        curves_.Shortfall(latency_us, step, value).value_or(kDeviations) >= kDeviations;
    if (ends) curves_.Forget(trial);
    return ends;
  }
  std::string Reason() const override {
    return fmt::format("is not among the best 1/{} there", options_.reduction);
  }

 private:
  bool IsRung(int step) const {
    int64_t rung = options_.first_step;
    while (rung < step) rung *= options_.reduction;
    return rung == step;
  }

  const PrunerOptions options_;
  std::map<int, Step> steps_;
  Curves curves_;
};

class MedianPruner : public Pruner {
 public:
  explicit MedianPruner(const PrunerOptions& options) : options_(options) {}

  bool Report(int64_t, double latency_us, int step, double value) override {
    if (!std::isfinite(value)) return true;
    if (step < options_.first_step || step >= options_.last_step) return false;
    const Step::Place place = steps_[step].Add(latency_us, value, options_.goal);
    return place.all > static_cast<size_t>(options_.startup) && 2 * place.better > place.all;
  }
  std::string Reason() const override { return "is worse than the median there"; }

 private:
  const PrunerOptions options_;
  std::map<int, Step> steps_;
};

class ForecastPruner : public Pruner {
 public:
  explicit ForecastPruner(const PrunerOptions& options) : options_(options), curves_(options) {}

  bool Report(int64_t trial, double latency_us, int step, double value) override {
    constexpr double kDeviations = 3;
    if (!std::isfinite(value)) return true;
    if (curves_.Add(trial, latency_us, step, value) || step < options_.first_step) return false;
    const bool ends = curves_.Shortfall(latency_us, step, value).value_or(0) > kDeviations;
    if (ends) curves_.Forget(trial);
    return ends;
  }
  std::string Reason() const override { return "does not promise to become the best"; }

 private:
  const PrunerOptions options_;
  Curves curves_;
};

}  // namespace

std::vector<std::string> PrunerNames() { return {kRules.begin(), kRules.end()}; }

std::unique_ptr<Pruner> MakePruner(const PrunerOptions& options) {
  if (options.first_step < 1 || options.startup < 1 || options.reduction < 2) {
    throw Error(ErrorKind::kInput,
                "pruning needs a first step and a startup of at least 1 and a reduction of at "
                "least 2, not {}, {} and {}",
                options.first_step, options.startup, options.reduction);
  }
  if (options.rule == "none") return std::make_unique<NoPruner>();
  if (options.rule == "halving") return std::make_unique<HalvingPruner>(options);
  if (options.rule == "median") return std::make_unique<MedianPruner>(options);
  if (options.rule == "forecast") return std::make_unique<ForecastPruner>(options);
  const std::string nearest = NearestName(options.rule, PrunerNames());
  throw Error(ErrorKind::kInput, "unknown pruning rule '{}'{}; known: {}", options.rule,
              nearest.empty() ? "" : fmt::format("; did you mean '{}'?", nearest),
              fmt::join(PrunerNames(), ", "));
}

}  // namespace lathe::search
