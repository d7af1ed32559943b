#include "search/simulate.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <memory>
#include <queue>
#include <set>
#include <tuple>

#include "base/error.h"

namespace lathe::search {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kMostDraws = 6000;  // most tables have no more rows

PrunerOptions PrunerOf(PrunerOptions options, const Table& table) {
  options.last_step = table.last_step();
  return options;
}

// The proposer's trials on simulated workers, event by event.
class Cluster {
 public:
  Cluster(const Table& table, const SimulateOptions& options)
      : table_(table),
        options_(options),
        source_(table),
        proposer_(MakeProposer(options.proposer, source_,
                               {.dimensions = table.dimensions(),
                                .seed = SubSeed(options.seed, "proposer"),
                                .most_draws = kMostDraws})),
        pruner_(MakePruner(PrunerOf(options.pruner, table))),
        random_(SubSeed(options.seed, "cluster")) {}

  Simulation Run() {
    for (int w = 0; w < options_.workers && StartNext(); ++w) {
    }
    while (!running_.empty()) {
      now_ = running_.top().end;
      // As the controller does: all that has ended is told before anything is asked.
      int free = 0;
      while (!running_.empty() && running_.top().end == now_) {
        const Event event = running_.top();
        running_.pop();
        free += Ends(event);
      }
      while (free-- > 0 && StartNext()) {
      }
    }
    result_.lost = started_ - static_cast<int>(result_.rows.size());
    result_.seconds = now_;
    SummariseWorkers();
    result_.controller_cores = now_ > 0 ? proposer_seconds_ / now_ : 0;
    SummariseAsks();
    return result_;
  }

 private:
  struct Event {
    double end;
    int64_t trial;
    size_t row;
    bool dies;
    int point = -1;  // of the curve that it has reached; -1: the end
    bool operator>(const Event& other) const {
      return std::tie(end, trial) > std::tie(other.end, other.trial);
    }
  };

  // False: its trial goes on.
  bool Ends(const Event& event) {
    if (event.dies) {  // the same trial starts again
      ++result_.restarts;
      Start(event.trial, event.row);
      return false;
    }
    if (event.point >= 0 && !Report(event)) {
      Continue(event.trial, event.row, event.point + 1);
      return false;
    }
    Finish(event);
    return true;
  }

  bool StartNext() {
    if (started_ >= options_.budget) return false;
    if (options_.until_optimum && result_.to_optimum >= 0) return false;
    std::optional<Candidate> candidate;
    const double asked = Timed([&] { candidate = proposer_->Ask(started_); });
    ask_ms_.push_back(1000 * asked);
    controller_free_ = std::max(controller_free_, now_) + asked;
    waited_ += controller_free_ - now_;
    if (!candidate) return false;
    const Table::Row* row = table_.Find(candidate->encoding);
    if (row == nullptr || !row->feasible) {
      throw Error(ErrorKind::kInternal, "trial {} is not a feasible row of the table", started_);
    }
    const auto index = static_cast<size_t>(row - table_.rows().data());
    if (!tried_.insert(index).second) ++result_.repeated;
    last_start_ = now_;
    Start(started_++, index);
    return true;
  }

  template <typename Call>
  double Timed(const Call& call) {
    const Clock::time_point begin = Clock::now();
    call();
    const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    proposer_seconds_ += seconds;
    return seconds;
  }

  void Start(int64_t trial, size_t row) {
    const double seconds = table_.rows()[row].seconds;
    if (random_.Uniform() < options_.fail_rate) {
      Run({.end = now_ + seconds * random_.Uniform(), .trial = trial, .row = row, .dies = true});
      return;
    }
    Continue(trial, row, 0);
  }

  // Trains up to a point of the curve, or to the end after the last one.
  void Continue(int64_t trial, size_t row, int point) {
    const Table::Row& recorded = table_.rows()[row];
    const auto points = static_cast<int>(recorded.curve.size());
    const auto share = [&](int p) {
      if (p < 0) return 0.0;
      if (p >= points) return 1.0;
      return static_cast<double>(recorded.curve[static_cast<size_t>(p)].step) / table_.last_step();
    };
    Run({.end = now_ + recorded.seconds * (share(point) - share(point - 1)),
         .trial = trial,
         .row = row,
         .dies = false,
         .point = point < points ? point : -1});
  }

  void Run(const Event& event) {
    running_.push(event);
    spans_.emplace_back(now_, event.end);
  }

  // True: the trial is to end here.
  bool Report(const Event& event) {
    const Table::Row::Point& point =
        table_.rows()[event.row].curve[static_cast<size_t>(event.point)];
    Timed([&] { proposer_->Report(event.trial, point.step, point.value); });
    const double latency_us = table_.rows()[event.row].candidate.latency_us;
    return pruner_->Report(event.trial, latency_us, point.step, point.value) &&
           point.step < table_.last_step();
  }

  void Finish(const Event& event) {
    const bool pruned = event.point >= 0;
    const Outcome objective = pruned ? Outcome{} : table_.rows()[event.row].objective;
    result_.pruned += pruned;
    Timed([&] { proposer_->Tell(event.trial, objective); });
    result_.rows.push_back(event.row);
    result_.ends.push_back(now_);
    const double before =
        result_.best.empty() ? std::numeric_limits<double>::infinity() : result_.best.back();
    result_.best.push_back(objective ? std::min(before, *objective) : before);
    if (result_.to_optimum < 0 && result_.best.back() <= table_.best()) {
      result_.to_optimum = static_cast<int>(result_.rows.size());
      result_.seconds_to_optimum = now_;
    }
  }

  // Until the last trial starts every worker should be busy; then there is nothing left to do.
  void SummariseWorkers() {
    double busy = 0;
    for (const auto& [begin, end] : spans_)
      busy += std::max(0.0, std::min(end, last_start_) - begin);
    const double available = last_start_ * options_.workers;
    result_.utilisation = available > 0 ? busy / available : 1.0;
    result_.utilisation_with_asks = busy > 0 ? busy / (busy + waited_) : 1.0;
  }

  void SummariseAsks() {
    std::ranges::sort(ask_ms_);
    for (const double ms : ask_ms_) result_.ask_total_s += ms / 1000;
    const auto quantile = [&](double share) {
      const auto last = static_cast<double>(ask_ms_.size()) - 1;
      return ask_ms_[static_cast<size_t>(share * last)];
    };
    result_.ask_p50_ms = quantile(0.5);
    result_.ask_p95_ms = quantile(0.95);
  }

  const Table& table_;
  const SimulateOptions& options_;
  TableSource source_;
  std::unique_ptr<Proposer> proposer_;
  std::unique_ptr<Pruner> pruner_;
  Random random_;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> running_;
  std::set<size_t> tried_;
  std::vector<std::pair<double, double>> spans_;  // of every start
  std::vector<double> ask_ms_;
  Simulation result_;
  int started_ = 0;
  double now_ = 0, last_start_ = 0;
  double proposer_seconds_ = 0;              // wall time
  double controller_free_ = 0, waited_ = 0;  // simulated, with the asks' wall time
};

}  // namespace

Simulation Simulate(const Table& table, const SimulateOptions& options) {
  if (options.budget < 1 || options.workers < 1 || options.fail_rate < 0 ||
      options.fail_rate > 0.95) {
    throw Error(ErrorKind::kUsage,
                "a simulation needs a budget and workers of at least 1 and a fail rate from 0 to "
                "0.95, not {}, {} and {}",
                options.budget, options.workers, options.fail_rate);
  }
  return Cluster(table, options).Run();
}

}  // namespace lathe::search
