// What every back end does to time something: warm up, repeat, summarise. Not part of the Engine
// interface.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.h"
#include "net/graph.h"

namespace lathe::engine {

// Calls `run` for the warm-up and then until TimingOptions' runs and seconds are both reached;
// returns the wall-clock time of each call after the warm-up, in microseconds. `after` (may be
// empty) is called after each of those, outside the clock.
std::vector<double> TimeRuns(const TimingOptions& options, const std::function<void()>& run,
                             const std::function<void()>& after = {});

// Median, 10th and 90th percentile. `samples_us` must not be empty.
Timing Summarise(std::vector<double> samples_us);

// CompiledModel::Time() up to `attempts` times, with growing pauses, until p10 and p90 are within
// 15 % of the median of each other; returns the timing with the smallest spread. A larger spread
// comes from other programs on the machine, not from the model.
Timing TimeUndisturbed(CompiledModel& model, const TimingOptions& options, int attempts = 5);

// Latency of a model for a figure that others will compare with: many short timings over some
// seconds, as the machine's speed wanders; medians over
// them of their medians and percentiles.
Timing TimeSteadily(CompiledModel& model);
// The same of several models in turns, so that what the machine does meets all of them.
std::vector<Timing> TimeSteadily(const std::vector<CompiledModel*>& models, int rounds = 25);

// One layer from its time in each run. For samples of a clock that counts whole microseconds the
// median is interpolated within its microsecond (the grouped median), or layers of 3 us would be 30
// % off.
LayerTime SummariseLayer(int layer, std::vector<double> samples_us, double resolution_us = 0);

// The node of `graph`, by its index, that each of an engine's nodes belongs to, in order of
// execution: the one that its name mentions first (net/graph.h), as engines add their own words. A
// name that tells the layer alone counts for the layer's first node; nodes of no layer (the
// conversion of the input, say) for the next node that has one, at the end for the last that had.
// Throws kInternal when no node has a layer.
std::vector<int> AssignNodes(const std::vector<std::string>& names, const net::Graph& graph);

// The smallest number of batches that hold `count` images; throws kInput unless `images` is `count`
// images of `image_size` floats.
int BatchCount(std::span<const float> images, int count, size_t image_size, int batch);

// Throws kInput unless threads and batch are in range.
void CheckTargetOptions(const TargetOptions& options);

// Throws kInput, for Profile(), unless the model was compiled with CompileOptions::profile.
void CheckProfiling(bool profile);

}  // namespace lathe::engine
