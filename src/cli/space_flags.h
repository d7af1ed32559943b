// What the subcommands of `lathe space` share: their options, and the space priced with a LUT.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/common.h"
#include "latency/price_space.h"
#include "space/count.h"
#include "space/sobol.h"

namespace lathe::cli {

struct SpaceFlags {
  std::string space, lut, network, encoding, out, picture, format, scramble = "owen";
  std::vector<std::string> restrict;
  int64_t count = 10, points = 1 << 20;
  std::vector<double> edges_ms, between_ms;
  double budget_ms = 0, resolution_us = 0;
  int64_t max_params = 0, max_macs = 0;  // 0: no limit
  bool exact = false, measured_only = false, nearest = false;
  int threads = 0;  // 0: all
  int channels = 3, classes = 1000;

  space::SearchSpace Load() const;  // --space with --restrict
  space::SearchSpace::Head Head() const { return {.channels = channels, .classes = classes}; }
  int Threads() const;
  space::Limits Limits() const;
  space::Scramble Scrambling() const { return space::ParseScramble(scramble); }
  // Needs --lut; prints how many layers are estimated to the log.
  latency::PricedSpace Price(const space::SearchSpace& space, bool params_and_macs) const;
};

// "24,64,3": an encoding as text.
std::string EncodingText(std::span<const int> encoding);
int64_t PsOfMs(double ms);
// "88,047,488,063,901,951,523,008", or "8.804748806390e+45" where it is not known exactly.
std::string FormatBig(const space::BigCount& count);

int DescribeSpace(const Globals& globals, const SpaceFlags& flags);
int CountSpace(const Globals& globals, const SpaceFlags& flags);
int SampleSpace(const Globals& globals, const SpaceFlags& flags);

}  // namespace lathe::cli
