#include "cli/lut_picture.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cli/svg.h"

namespace lathe::cli {
namespace {

constexpr double kSide = 640, kLeft = 80, kTop = 70, kBottom = 60;

// Both axes alike: logarithms of milliseconds.
class Axes {
 public:
  explicit Axes(const latency::CheckResult& result) {
    low_ = high_ = std::log10(result.rows.front().measured_us / 1000);
    for (const latency::CheckRow& row : result.rows) {
      for (const double us : {row.measured_us, row.predicted_us}) {
        low_ = std::min(low_, std::log10(us / 1000));
        high_ = std::max(high_, std::log10(us / 1000));
      }
    }
    const double margin = 0.04 * (high_ - low_) + 0.02;
    low_ -= margin;
    high_ += margin;
  }
  double X(double ms) const { return kLeft + kSide * Share(ms); }
  double Y(double ms) const { return kTop + kSide * (1 - Share(ms)); }
  double low_ms() const { return std::pow(10, low_); }
  double high_ms() const { return std::pow(10, high_); }

 private:
  double Share(double ms) const {
    return std::clamp((std::log10(ms) - low_) / (high_ - low_), 0.0, 1.0);
  }
  double low_, high_;
};

std::string Grid(const Axes& axes) {
  std::string text;
  for (double decade = 1e-4; decade < 1e6; decade *= 10) {
    for (const double ms : {decade, 2 * decade, 5 * decade}) {
      if (ms < axes.low_ms() || ms > axes.high_ms()) continue;
      text += svg::Line(axes.X(ms), kTop, axes.X(ms), kTop + kSide);
      text += svg::Line(kLeft, axes.Y(ms), kLeft + kSide, axes.Y(ms));
      text += svg::Text(axes.X(ms), kTop + kSide + 18, fmt::format("{:g}", ms), "middle");
      text += svg::Text(kLeft - 8, axes.Y(ms) + 4, fmt::format("{:g}", ms), "end");
    }
  }
  return text;
}

// Where predictions are that are off by so much.
std::string Diagonal(const Axes& axes, double factor, const char* colour) {
  const double low = axes.low_ms() * std::max(1.0, 1 / factor);
  const double high = axes.high_ms() * std::min(1.0, 1 / factor);
  return svg::Line(axes.X(low), axes.Y(factor * low), axes.X(high), axes.Y(factor * high), colour);
}

}  // namespace

std::string LutPicture(const latency::CheckResult& result, const std::string& title) {
  constexpr double kWidth = kLeft + kSide + 30;
  std::string text = svg::Head(kWidth, kTop + kSide + kBottom);
  if (result.rows.empty()) return text + "</svg>\n";
  const Axes axes(result);
  text += svg::Text(24, 28, title, "start", 18);
  text += svg::Text(24, 50,
                    fmt::format("{} networks: mean error {:.1f} %, 95th percentile {:.1f} %, "
                                "bias {:+.1f} %, Spearman {:.4f}",
                                result.band.networks, 100 * result.band.mape, 100 * result.band.p95,
                                100 * result.band.bias, result.band.spearman));
  text += Grid(axes);
  for (const double off : {0.9, 1.1}) text += Diagonal(axes, off, svg::kGrey);
  text += Diagonal(axes, 1, "#1c2126");
  for (const latency::CheckRow& row : result.rows) {
    const double ms = row.measured_us / 1000, predicted_ms = row.predicted_us / 1000;
    const double sigma_ms = std::min(row.sigma_us / 1000, 0.9 * predicted_ms);
    text += svg::Line(axes.X(ms), axes.Y(predicted_ms - sigma_ms), axes.X(ms),
                      axes.Y(predicted_ms + sigma_ms), svg::kBlue);
    text += svg::Dot(
        axes.X(ms), axes.Y(predicted_ms), 4, svg::kBlue,
        fmt::format("{}: predicted {:.3f} ms, measured {:.3f} ms", row.name, predicted_ms, ms));
  }
  text += svg::Text(kLeft + kSide / 2, kTop + kSide + 42, "measured, ms", "middle");
  text += svg::Text(8, kTop - 6, "predicted, ms (bars: one sigma; grey: 10 % off)");
  return text + "</svg>\n";
}

}  // namespace lathe::cli
