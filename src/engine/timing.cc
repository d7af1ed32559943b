#include "engine/timing.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <chrono>
#include <cmath>
#include <thread>
#include <unordered_map>

#include "base/error.h"

namespace lathe::engine {
namespace {

// Linear interpolation between order statistics; `sorted` is not empty.
double Quantile(std::span<const double> sorted, double q) {
  const double position = q * static_cast<double>(sorted.size() - 1);
  const size_t low = static_cast<size_t>(position);
  const size_t high = std::min(low + 1, sorted.size() - 1);
  return sorted[low] + (position - static_cast<double>(low)) * (sorted[high] - sorted[low]);
}

// The median of values rounded to multiples of `width`, interpolated as if they were spread evenly
// over their bin.
double GroupedMedian(std::span<const double> sorted, double width) {
  const double middle = sorted[sorted.size() / 2];
  const auto [first, last] = std::equal_range(sorted.begin(), sorted.end(), middle);
  const double below = static_cast<double>(first - sorted.begin());
  const double inside = static_cast<double>(last - first);
  const double half = static_cast<double>(sorted.size()) / 2;
  return middle + width * ((half - below) / inside - 0.5);
}

// The first "lNN.part" in a node's name, up to where it cannot be one any more; empty: none.
std::string_view Label(std::string_view name) {
  for (size_t i = name.find('l'); i != std::string_view::npos; i = name.find('l', i + 1)) {
    if (i > 0 && std::isalnum(static_cast<unsigned char>(name[i - 1]))) continue;
    const std::string_view rest = name.substr(i);
    const size_t digits = rest.find_first_not_of("0123456789", 1);
    if (digits == 1 || digits == std::string_view::npos || rest[digits] != '.') continue;
    return rest.substr(0, rest.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_."));
  }
  return {};
}

// Of a label; -1: none.
int LayerOf(std::string_view label) {
  int layer = -1;
  if (!label.empty()) std::from_chars(label.data() + 1, label.data() + label.size(), layer);
  return layer;
}

// Indices below 0 take the next one, at the end the last. Throws kInternal when all are below 0.
void FillGaps(std::vector<int>& indices) {
  int next = -1;
  for (size_t i = indices.size(); i-- > 0;) {
    if (indices[i] >= 0) next = indices[i];
    indices[i] = next;
  }
  if (next < 0) {
    throw Error(ErrorKind::kInternal, "the profile of {} nodes names no layer of the network",
                indices.size());
  }
  for (size_t i = 1; i < indices.size(); ++i) {
    if (indices[i] < 0) indices[i] = indices[i - 1];
  }
}

// How the export names the result of the last node; engines may add to it.
constexpr std::string_view kOutput = "logits";

}  // namespace

std::vector<double> TimeRuns(const TimingOptions& options, const std::function<void()>& run,
                             const std::function<void()>& after) {
  using Clock = std::chrono::steady_clock;
  for (int i = 0; i < options.warmup; ++i) run();
  std::vector<double> samples;
  samples.reserve(static_cast<size_t>(std::max(options.min_runs, 1)));
  const Clock::time_point begin = Clock::now();
  Clock::time_point end = begin;
  while (static_cast<int>(samples.size()) < std::max(options.min_runs, 1) ||
         std::chrono::duration<double>(end - begin).count() < options.min_seconds) {
    const Clock::time_point start = Clock::now();
    run();
    end = Clock::now();
    samples.push_back(std::chrono::duration<double, std::micro>(end - start).count());
    if (after) after();
  }
  return samples;
}

Timing Summarise(std::vector<double> samples_us) {
  std::sort(samples_us.begin(), samples_us.end());
  return {.median_us = Quantile(samples_us, 0.5),
          .p10_us = Quantile(samples_us, 0.1),
          .p90_us = Quantile(samples_us, 0.9),
          .runs = static_cast<int>(samples_us.size())};
}

Timing TimeUndisturbed(CompiledModel& model, const TimingOptions& options, int attempts) {
  constexpr double kCalmSpread = 0.15;
  constexpr std::chrono::milliseconds kPause{300};
  Timing best = model.Time(options);
  for (int attempt = 1; attempt < attempts && best.Spread() > kCalmSpread; ++attempt) {
    std::this_thread::sleep_for(attempt * kPause);
    const Timing again = model.Time(options);
    if (again.Spread() < best.Spread()) best = again;
  }
  return best;
}

std::vector<Timing> TimeSteadily(const std::vector<CompiledModel*>& models, int rounds) {
  constexpr std::chrono::milliseconds kPause{100};
  constexpr TimingOptions kRound{.warmup = 2, .min_runs = 3, .min_seconds = 0.1};
  struct Samples {
    std::vector<double> medians, low, high;
    int runs = 0;
  };
  std::vector<Samples> samples(models.size());
  for (CompiledModel* model : models) model->Time({.warmup = 10, .min_runs = 1, .min_seconds = 0});
  for (int round = 0; round < rounds; ++round) {
    if (round > 0) std::this_thread::sleep_for(kPause);
    for (size_t i = 0; i < models.size(); ++i) {
      const Timing timing = models[i]->Time(kRound);
      samples[i].medians.push_back(timing.median_us);
      samples[i].low.push_back(timing.p10_us);
      samples[i].high.push_back(timing.p90_us);
      samples[i].runs += timing.runs;
    }
  }
  std::vector<Timing> timings;
  for (const Samples& one : samples) {
    timings.push_back({.median_us = Summarise(one.medians).median_us,
                       .p10_us = Summarise(one.low).median_us,
                       .p90_us = Summarise(one.high).median_us,
                       .runs = one.runs});
  }
  return timings;
}

Timing TimeSteadily(CompiledModel& model) { return TimeSteadily({&model}).front(); }

LayerTime SummariseLayer(int layer, std::vector<double> samples_us, double resolution_us) {
  std::sort(samples_us.begin(), samples_us.end());
  const double median =
      resolution_us > 0 ? GroupedMedian(samples_us, resolution_us) : Quantile(samples_us, 0.5);
  const double range = Quantile(samples_us, 0.9) - Quantile(samples_us, 0.1);
  return {.layer = layer, .median_us = median, .spread = median > 0 ? range / median : 0};
}

std::vector<int> AssignNodes(const std::vector<std::string>& names, const net::Graph& graph) {
  std::unordered_map<std::string_view, int> nodes;
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    nodes.try_emplace(graph.nodes[i].name, static_cast<int>(i));
  }
  const auto find = [&](std::string_view label) {
    for (; !label.empty(); label = label.substr(0, label.rfind('.'))) {
      if (const auto found = nodes.find(label); found != nodes.end()) return found->second;
      if (label.find('.') == std::string_view::npos) break;
    }
    return -1;
  };
  std::vector<int> result;
  for (const std::string& name : names) {
    int node =
        name.starts_with(kOutput) ? static_cast<int>(graph.nodes.size()) - 1 : find(Label(name));
    if (const int layer = LayerOf(Label(name)); node < 0 && layer >= 0) {
      const auto first = std::ranges::find(graph.nodes, layer, &net::Node::layer);
      if (first != graph.nodes.end()) node = static_cast<int>(first - graph.nodes.begin());
    }
    result.push_back(node);
  }
  FillGaps(result);
  return result;
}

int BatchCount(std::span<const float> images, int count, size_t image_size, int batch) {
  if (count < 0 || images.size() != static_cast<size_t>(count) * image_size) {
    throw Error(ErrorKind::kInput,
                "Run: {} images of {} values each were promised, {} values given", count,
                image_size, images.size());
  }
  return (count + batch - 1) / batch;
}

void CheckTargetOptions(const TargetOptions& options) {
  const auto check = [](const char* what, int value) {
    constexpr int kMost = 1024;
    if (value < 1 || value > kMost) {
      throw Error(ErrorKind::kInput, "target: {} = {} is outside 1 to {}", what, value, kMost);
    }
  };
  check("threads", options.threads);
  check("batch", options.batch);
}

void CheckProfiling(bool profile) {
  if (!profile) {
    throw Error(ErrorKind::kInput,
                "this model was compiled without profiling: set CompileOptions::profile");
  }
}

}  // namespace lathe::engine
