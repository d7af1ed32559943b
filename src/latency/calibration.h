// From latencies of parts timed alone to those of whole networks. A part that is timed alone is
// launched and waited for alone; inside a network launches overlap with the work before them, so
// sums of parts are far too high. Three numbers with a physical meaning close the gap, each with a
// prior, because few latencies of whole networks are known:
//
//   network = constant + sum over parts of max(shortest, scale * alone - launch)
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "latency/lut.h"
#include "net/network.h"

namespace lathe::latency {

// The defaults are the priors' centres.
struct Calibration {
  double scale = 1;         // of the engine and clock against those of the table
  double launch_us = 5;     // that a part does not cost inside a network
  double constant_us = 20;  // of an inference: enqueueing, first launch, copies

  double InNetwork(double alone_us) const;                   // of a part
  double InNetwork(std::span<const double> alone_us) const;  // of a network
};

// A network whose latency was measured or published.
struct KnownNetwork {
  std::string name;
  net::Network network;
  double latency_us = 0;
};

// A CSV table with columns `network` and `latency_ms`; lines that start with # are comments. `load`
// finds a network by its file or name. Throws kInput naming the line: a latency that is none, the
// same network twice, an unknown network.
std::vector<KnownNetwork> ReadKnownNetworks(const std::filesystem::path& path,
                                            net::Network (*load)(const std::string&));

// Parts alone of a network, and what the network takes.
struct CalibrationPoint {
  std::vector<double> alone_us;
  double latency_us = 0;
};

// The three numbers with the greatest posterior density, given relative errors of `kModelError`.
Calibration Calibrate(std::span<const CalibrationPoint> points);

struct CalibrationRow {
  double known_us = 0;
  double alone_us = 0;     // sum of the parts as they were timed
  double before_us = 0;    // with the default numbers
  double after_us = 0;     // with numbers fitted to all networks
  double left_out_us = 0;  // with numbers fitted to all but this one
};

struct CalibrationReport {
  Calibration calibration;           // fitted to all
  std::vector<CalibrationRow> rows;  // in the order of the points
  // Errors of the columns alone, before, after and left_out.
  ErrorBand alone, before, after, left_out;
  // Pairs of networks that `left_out` puts in the wrong order; equal known latencies have none.
  int wrong_pairs = 0;
};
// Needs two points.
CalibrationReport CheckCalibration(std::span<const CalibrationPoint> points);

}  // namespace lathe::latency
