#include <fmt/format.h>

#include "base/log.h"
#include "base/table.h"
#include "net/network_file.h"

namespace lathe::net {
namespace {

std::string Text(const Shape& shape) { return fmt::format("{}x{}x{}", shape.c, shape.h, shape.w); }

std::string NumberOrDash(int value) { return value > 0 ? fmt::format("{}", value) : "-"; }

}  // namespace

std::string Describe(const Network& network) {
  const Costs total = Count(network);
  std::vector<std::vector<std::string>> rows = {
      {"layer", "op", "input", "output", "kernel", "stride", "mid", "SE", "act", "params", "MACs"}};
  for (size_t i = 0; i < network.layers.size(); ++i) {
    const Layer& layer = network.layers[i];
    const Costs costs = Count(layer);
    const bool tail = layer.op == Op::kTail;
    rows.push_back({fmt::format("l{:02}", i), std::string(Name(layer.op)), Text(layer.in),
                    Text(layer.out()), tail ? "1" : fmt::format("{}", layer.kernel),
                    fmt::format("{}", layer.stride), NumberOrDash(layer.mid_channels),
                    NumberOrDash(layer.se_channels), std::string(Name(layer.act)),
                    FormatCount(costs.params), FormatCount(costs.macs)});
  }
  rows.push_back({"total", "", Text(network.input),
                  fmt::format("{} classes", network.num_classes()), "", "", "", "", "",
                  FormatCount(total.params), FormatCount(total.macs)});
  return fmt::format("{}\n{}", network.name, FormatTable(rows));
}

}  // namespace lathe::net
