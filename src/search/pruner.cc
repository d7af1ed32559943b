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
  void Add(double latency_us, double value) { reports_.push_back({latency_us, value}); }

  struct Place {
    size_t better, all;  // among all that count, the asking trial included
  };
  Place PlaceOf(double latency_us, double value, Goal goal) const {
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

// Of the trial that reports.
class Standing {
 public:
  Standing(const Step& reached, const Curves& curves, double latency_us, int step, double value)
      : reached_(reached), curves_(curves), latency_us_(latency_us), step_(step), value_(value) {}

  Step::Place Place(Goal goal) const { return reached_.PlaceOf(latency_us_, value_, goal); }
  std::optional<double> Shortfall() const { return curves_.Shortfall(latency_us_, step_, value_); }

 private:
  const Step& reached_;
  const Curves& curves_;
  const double latency_us_;
  const int step_;
  const double value_;
};

class JudgingPruner : public Pruner {
 public:
  explicit JudgingPruner(const PrunerOptions& options) : options_(options), curves_(options) {}

  bool Report(int64_t trial, double latency_us, int step, double value) final {
    if (!std::isfinite(value)) return true;
    if (curves_.Add(trial, latency_us, step, value) || !Decides(step)) return false;
    Step& reached = steps_[step];
    reached.Add(latency_us, value);
    const bool ends = Ends(Standing(reached, curves_, latency_us, step, value));
    if (ends) curves_.Forget(trial);
    return ends;
  }

 protected:
  virtual bool Decides(int step) const { return step >= options_.first_step; }
  virtual bool Ends(const Standing& standing) const = 0;
  const PrunerOptions options_;

 private:
  std::map<int, Step> steps_;
  Curves curves_;
};

class HalvingPruner : public JudgingPruner {
 public:
  using JudgingPruner::JudgingPruner;
  std::string Reason() const override {
    return fmt::format("is not among the best 1/{} there", options_.reduction);
  }

 protected:
  bool Decides(int step) const override {
    int64_t rung = options_.first_step;
    while (rung < step) rung *= options_.reduction;
    return rung == step;
  }
  bool Ends(const Standing& standing) const override {
    constexpr double kDeviations = 1.5;
    const Step::Place place = standing.Place(options_.goal);
    const size_t kept = place.all / static_cast<size_t>(options_.reduction);
    return place.better >= std::max(static_cast<size_t>(options_.startup), kept) &&
           standing.Shortfall().value_or(kDeviations) >= kDeviations;
  }
};

class MedianPruner : public JudgingPruner {
 public:
  using JudgingPruner::JudgingPruner;
  std::string Reason() const override { return "is worse than the median there"; }

 protected:
  bool Ends(const Standing& standing) const override {
    const Step::Place place = standing.Place(options_.goal);
    return place.all > static_cast<size_t>(options_.startup) && 2 * place.better > place.all;
  }
};

class ForecastPruner : public JudgingPruner {
 public:
  using JudgingPruner::JudgingPruner;
  std::string Reason() const override { return "does not promise to become the best"; }

 protected:
  bool Ends(const Standing& standing) const override {
    constexpr double kDeviations = 3;
    return standing.Shortfall().value_or(0) > kDeviations;
  }
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
