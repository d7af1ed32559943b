#include "cli/space_picture.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cli/svg.h"

namespace lathe::cli {
namespace {

using svg::Box;
using svg::NiceStep;
using svg::Text;

constexpr double kPictureWidth = 960, kPlotLeft = 130, kPlotRight = 24;
constexpr double kPlotTop = 56, kPlotHeight = 240;
constexpr double kRow = 20, kRowsTop = kPlotTop + kPlotHeight + 100;
constexpr const char* kInside = svg::kBlue;
constexpr const char* kOutside = svg::kGrey;
// Bars of log10(networks) over latency.
std::string Histogram(const SpacePictureData& data) {
  const double low = data.edges_ms.front(), high = data.edges_ms.back();
  const auto x = [&](double ms) {
    return kPlotLeft +
           (kPictureWidth - kPlotLeft - kPlotRight) * (ms - low) / std::max(high - low, 1e-12);
  };
  double most = 1;
  for (const double count : data.networks) most = std::max(most, std::log10(std::max(count, 1.0)));
  const auto y = [&](double log10) { return kPlotTop + kPlotHeight * (1 - log10 / (most * 1.05)); };
  std::string text;
  const double step = std::max(1.0, NiceStep(most, 6));
  for (double tick = 0; tick <= most; tick += step) {
    text += svg::Line(kPlotLeft, y(tick), kPictureWidth - kPlotRight, y(tick));
    text += Text(kPlotLeft - 8, y(tick) + 4, fmt::format("1e{:.0f}", tick), "end");
  }
  const bool whole = data.between_ms.empty();
  for (size_t i = 0; i < data.networks.size(); ++i) {
    if (data.networks[i] <= 0) continue;
    const double from = data.edges_ms[i], to = data.edges_ms[i + 1];
    const bool inside = whole || (to > data.between_ms[0] && from < data.between_ms[1]);
    const double top = y(std::log10(std::max(data.networks[i], 1.0)));
    text += Box(x(from), top, x(to) - x(from) - 1, kPlotTop + kPlotHeight - top,
                inside ? kInside : kOutside,
                fmt::format("{:.3f} to {:.3f} ms: {:.3e} networks", from, to, data.networks[i]));
  }
  const double tick_step = NiceStep(high - low, 8);
  for (double ms = std::ceil(low / tick_step) * tick_step; ms <= high; ms += tick_step) {
    text += Text(x(ms), kPlotTop + kPlotHeight + 18, fmt::format("{:g}", ms), "middle");
  }
  text += Text((kPlotLeft + kPictureWidth - kPlotRight) / 2, kPlotTop + kPlotHeight + 38,
               "latency, ms", "middle");
  return text;
}

// One row per gene: its choices side by side, as wide as their share in the sub-space; the darker,
// the more often than in the whole space.
std::string ShareRows(const SpacePictureData& data) {
  std::string text = Text(kPlotLeft, kRowsTop - 30,
                          fmt::format("Choices of the networks between {:g} and {:g} ms: width = "
                                      "share there; blue more, grey less than in the whole space",
                                      data.between_ms[0], data.between_ms[1]));
  double y = kRowsTop - 14;
  for (const GeneShares& gene : data.shares) {
    text += Text(kPlotLeft - 8, y + 13, gene.gene, "end", 11);
    double x = kPlotLeft;
    for (size_t c = 0; c < gene.choices.size(); ++c) {
      const double width = (kPictureWidth - kPlotLeft - kPlotRight) * gene.in_subspace[c];
      const double ratio = std::log2(std::max(gene.in_subspace[c] / gene.in_space[c], 1e-3));
      const double strength = std::clamp(std::abs(ratio) / 2, 0.0, 1.0);
      const auto mix = [&](int towards) {
        return static_cast<int>(236 + strength * (towards - 236));
      };
      const std::string fill = ratio > 0
                                   ? fmt::format("rgb({},{},{})", mix(86), mix(160), mix(211))
                                   : fmt::format("rgb({},{},{})", mix(176), mix(176), mix(176));
      text += Box(x, y, width - 1, kRow - 3, fill,
                  fmt::format("{} = {}: {:.1f} % there, {:.1f} % in the whole space", gene.gene,
                              gene.choices[c], 100 * gene.in_subspace[c], 100 * gene.in_space[c]));
      const double needed = 7.0 * static_cast<double>(gene.choices[c].size()) + 4;
      if (width > needed) text += Text(x + width / 2, y + 13, gene.choices[c], "middle", 11);
      x += width;
    }
    y += kRow;
  }
  return text;
}

}  // namespace

std::string SpacePicture(const SpacePictureData& data) {
  const double height = data.shares.empty()
                            ? kPlotTop + kPlotHeight + 60
                            : kRowsTop + kRow * static_cast<double>(data.shares.size()) + 10;
  std::string text = svg::Head(kPictureWidth, height);
  text += Text(24, 30, data.title + ": networks by latency", "start", 18);
  text += Histogram(data);
  if (!data.shares.empty()) text += ShareRows(data);
  return text + "</svg>\n";
}

}  // namespace lathe::cli
