#include "report/drawing.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "report/html.h"

namespace lathe::report {
namespace {

// What the blocks of the picture may take, in its own units.
constexpr double kWidth = 640, kHeight = 120, kLeast = 5, kGap = 2;

std::string SizeText(net::Shape shape) {
  return fmt::format("{}×{}×{}", shape.c, shape.h, shape.w);
}

// "5" or, for 6 channels made 25, "4.2"
std::string ExpansionText(const net::Layer& layer) {
  return fmt::format("{:.2g}", static_cast<double>(layer.mid_channels) / layer.in.c);
}

// What layers of one run have in common: all but the first one's stride and input.
std::string Features(const net::Layer& layer) {
  std::string text;
  if (layer.op == net::Op::kTail) {
    text = fmt::format("{} wide", layer.mid_channels);
    if (layer.hidden_channels > 0) text += fmt::format(", hidden {}", layer.hidden_channels);
  } else {
    text = fmt::format("k{}", layer.kernel);
    if (layer.op != net::Op::kConv && layer.expand) {
      text += fmt::format(", expansion {}", ExpansionText(layer));
    }
    if (layer.groups > 1) text += fmt::format(", {} groups", layer.groups);
    if (layer.se_channels > 0) text += ", SE";
  }
  return fmt::format("{}, {}", text, net::Name(layer.act));
}

// A stage of a space; of a network that has none, layers that are alike.
bool SameRun(const net::Layer& a, const net::Layer& b) {
  return a.stage == b.stage && a.op == b.op && a.out_channels == b.out_channels &&
         a.kernel == b.kernel && a.act == b.act && (a.se_channels > 0) == (b.se_channels > 0);
}

struct Run {
  size_t begin = 0, end = 0;
};

std::vector<Run> RunsOf(const net::Network& network) {
  std::vector<Run> runs;
  for (size_t i = 0; i < network.layers.size(); ++i) {
    if (i == 0 || !SameRun(network.layers[i - 1], network.layers[i])) runs.push_back({i, i});
    runs.back().end = i + 1;
  }
  return runs;
}

std::vector<double> SharesOf(const net::Network& network, std::span<const double> layer_us) {
  const double total = std::accumulate(layer_us.begin(), layer_us.end(), 0.0);
  std::vector<double> shares(network.layers.size(),
                             1.0 / static_cast<double>(network.layers.size()));
  if (total <= 0) return shares;
  for (size_t i = 0; i < shares.size(); ++i) shares[i] = layer_us[i] / total;
  return shares;
}

std::string ShareText(double share) { return fmt::format("{:.0f} %", 100 * share); }

}  // namespace

std::string NetworkDrawing(const net::Network& network, std::span<const double> layer_us) {
  const std::vector<double> shares = SharesOf(network, layer_us);
  const double spare = kWidth - (kLeast + kGap) * static_cast<double>(shares.size());
  const double tallest = std::sqrt(std::max(1, network.input.h));
  std::string blocks;
  double x = 0;
  for (size_t i = 0; i < network.layers.size(); ++i) {
    const net::Layer& layer = network.layers[i];
    const double width = kLeast + std::max(0.0, spare) * shares[i];
    const double height = std::max(6.0, kHeight * std::sqrt(layer.out().h) / tallest);
    blocks += fmt::format(
        "<rect class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" "
        "rx=\"1.5\"><title>{} {} → {}, {}{}</title></rect>",
        net::Name(layer.op), x, (kHeight - height) / 2, width, height, net::Name(layer.op),
        SizeText(layer.in), SizeText(layer.out()), Features(layer),
        layer_us.empty() ? "" : ", " + ShareText(shares[i]) + " of the latency");
    x += width + kGap;
  }
  return fmt::format(
      "<svg class=\"drawing\" viewBox=\"0 0 {:.0f} {:.0f}\" role=\"img\" aria-label=\"{} layers, "
      "{} in, {} classes out\">{}</svg>",
      std::max(x, kWidth), kHeight, network.layers.size(), SizeText(network.input),
      network.num_classes(), blocks);
}

std::string StageList(const net::Network& network, std::span<const double> layer_us) {
  const std::vector<double> shares = SharesOf(network, layer_us);
  std::string html = "<ol class=\"layers\">";
  for (const Run& run : RunsOf(network)) {
    const net::Layer& last = network.layers[run.end - 1];
    const size_t layers = run.end - run.begin;
    html += fmt::format("<li class=\"{0}\"><b>{0}{1}</b> {2} → {3}, {4}", net::Name(last.op),
                        layers > 1 ? fmt::format(" ×{}", layers) : "",
                        SizeText(network.layers[run.begin].in),
                        last.op == net::Op::kTail ? fmt::format("{} classes", last.out_channels)
                                                  : SizeText(last.out()),
                        Features(last));
    if (!layer_us.empty()) {
      const double share =
          std::accumulate(shares.begin() + static_cast<std::ptrdiff_t>(run.begin),
                          shares.begin() + static_cast<std::ptrdiff_t>(run.end), 0.0);
      html += fmt::format("<span class=\"share\">{}</span>", ShareText(share));
    }
    html += "</li>";
  }
  return html + "</ol>";
}

}  // namespace lathe::report
