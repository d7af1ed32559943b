#include "search/pruner.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <string_view>
#include <utility>

#include "base/config.h"
#include "base/error.h"
#include "search/beliefs.h"

namespace lathe::search {
namespace {

constexpr size_t kFewest = 5;  // trials at a step before a median means anything
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

class RankPruner : public Pruner {
 public:
  explicit RankPruner(const PrunerOptions& options) : options_(options) {}

  bool Report(int64_t, double latency_us, int step, double value) override {
    if (!std::isfinite(value)) return true;
    if (!Decides(step)) return false;
    Step& reached = steps_[step];
    reached.Add(latency_us, value);
    return Ends(reached.PlaceOf(latency_us, value, options_.goal));
  }

 protected:
  virtual bool Decides(int step) const = 0;
  virtual bool Ends(const Step::Place& place) const = 0;
  const PrunerOptions options_;

 private:
  std::map<int, Step> steps_;
};

class HalvingPruner : public RankPruner {
 public:
  using RankPruner::RankPruner;
  std::string Reason() const override {
    return fmt::format("is not among the best 1/{} there", options_.reduction);
  }

 protected:
  bool Decides(int step) const override {
    int64_t rung = options_.first_step;
    while (rung < step) rung *= options_.reduction;
    return rung == step;
  }
  bool Ends(const Step::Place& place) const override {
    const auto reduction = static_cast<size_t>(options_.reduction);
    return place.better >= std::max<size_t>(1, place.all / reduction);
  }
};

class MedianPruner : public RankPruner {
 public:
  using RankPruner::RankPruner;
  std::string Reason() const override { return "is worse than the median there"; }

 protected:
  bool Decides(int step) const override { return step >= options_.first_step; }
  bool Ends(const Step::Place& place) const override {
    return place.all > kFewest && 2 * place.better > place.all;
  }
};

class ForecastPruner : public Pruner {
 public:
  explicit ForecastPruner(const PrunerOptions& options) : options_(options) {}

  bool Report(int64_t trial, double latency_us, int step, double value) override {
    if (!std::isfinite(value)) return true;
    Curve& curve = open_[trial];
    curve[step] = value;
    if (step >= options_.last_step) {
      complete_.push_back({.latency_us = latency_us, .end = value, .curve = std::move(curve)});
      open_.erase(trial);
      return false;
    }
    const bool ends = step >= options_.first_step && WouldSurprise(latency_us, step, value);
    if (ends) open_.erase(trial);
    return ends;
  }
  std::string Reason() const override { return "does not promise to become the best"; }

 private:
  using Curve = std::map<int, double>;  // value by step
  struct Complete {
    double latency_us, end;
    Curve curve;
  };

  // If it came to be better than the best, of those that are not slower on a front.
  bool WouldSurprise(double latency_us, int step, double value) const {
    constexpr double kDeviations = 3;
    double best = std::numeric_limits<double>::infinity();
    std::vector<Forecast::Pair> pairs;
    for (const Complete& other : complete_) {
      if (options_.goal != Goal::kFront || other.latency_us <= latency_us)
        best = std::min(best, other.end);
      const auto there = other.curve.find(step);
      if (there != other.curve.end()) pairs.push_back({there->second, other.end});
    }
    if (pairs.size() < Forecast::kFewest) return false;
    const Forecast::Promise promise = Forecast(pairs).Of(value);
    return promise.value - kDeviations * std::sqrt(promise.variance) > best;
  }

  const PrunerOptions options_;
  std::map<int64_t, Curve> open_;
  std::vector<Complete> complete_;
};

}  // namespace

std::vector<std::string> PrunerNames() { return {kRules.begin(), kRules.end()}; }

std::unique_ptr<Pruner> MakePruner(const PrunerOptions& options) {
  if (options.first_step < 1 || options.reduction < 2) {
    throw Error(ErrorKind::kInput,
                "pruning needs a first step of at least 1 and a reduction of at least 2, not {} "
                "and {}",
                options.first_step, options.reduction);
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
