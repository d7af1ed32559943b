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
        random_(SubSeed(options.seed, "cluster")) {}

  Simulation Run() {
    for (int w = 0; w < options_.workers && StartNext(); ++w) {
    }
    while (!running_.empty()) {
      const Event event = running_.top();
      running_.pop();
      now_ = event.end;
      if (event.dies) {  // the same trial starts again
        ++result_.restarts;
        Start(event.trial, event.row);
        continue;
      }
      Finish(event);
      StartNext();
    }
    result_.lost = started_ - static_cast<int>(result_.rows.size());
    result_.seconds = now_;
    result_.utilisation = Utilisation();
    SummariseAsks();
    return result_;
  }

 private:
  struct Event {
    double end;
    int64_t trial;
    size_t row;
    bool dies;
    bool operator>(const Event& other) const {
      return std::tie(end, trial) > std::tie(other.end, other.trial);
    }
  };

  bool StartNext() {
    if (started_ >= options_.budget) return false;
    if (options_.until_optimum && result_.to_optimum >= 0) return false;
    const Clock::time_point asked = Clock::now();
    const std::optional<Candidate> candidate = proposer_->Ask(started_);
    ask_ms_.push_back(std::chrono::duration<double, std::milli>(Clock::now() - asked).count());
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

  void Start(int64_t trial, size_t row) {
    const double seconds = table_.rows()[row].seconds;
    const bool dies = random_.Uniform() < options_.fail_rate;
    const double taken = dies ? seconds * random_.Uniform() : seconds;
    running_.push({now_ + taken, trial, row, dies});
    spans_.emplace_back(now_, now_ + taken);
  }

  void Finish(const Event& event) {
    const Outcome& objective = table_.rows()[event.row].objective;
    proposer_->Tell(event.trial, objective);
    result_.rows.push_back(event.row);
    const double before =
        result_.best.empty() ? std::numeric_limits<double>::infinity() : result_.best.back();
    result_.best.push_back(objective ? std::min(before, *objective) : before);
    if (result_.to_optimum < 0 && result_.best.back() <= table_.best()) {
      result_.to_optimum = static_cast<int>(result_.rows.size());
    }
  }

  // Until the last trial starts every worker should be busy; then there is nothing left to do.
  double Utilisation() const {
    double busy = 0;
    for (const auto& [begin, end] : spans_)
      busy += std::max(0.0, std::min(end, last_start_) - begin);
    const double available = last_start_ * options_.workers;
    return available > 0 ? busy / available : 1.0;
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
  Random random_;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> running_;
  std::set<size_t> tried_;
  std::vector<std::pair<double, double>> spans_;  // of every start
  std::vector<double> ask_ms_;
  Simulation result_;
  int started_ = 0;
  double now_ = 0, last_start_ = 0;
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
