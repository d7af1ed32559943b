#include "net/layer_fields.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace lathe::net {

std::string QuoteJson(std::string_view text) {
  // A name from a file may hold broken UTF-8, which must not make writing fail.
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::vector<std::pair<std::string, std::string>> LayerFields(const Layer& layer) {
  const Layer plain;
  const bool tail = layer.op == Op::kTail;
  const bool inverted = layer.op == Op::kIrb || layer.op == Op::kFusedIrb;
  std::vector<std::pair<std::string, std::string>> fields;
  const auto add = [&](std::string key, const auto& value, const auto& default_value, bool always) {
    if (always || value != default_value)
      fields.emplace_back(std::move(key), fmt::format("{}", value));
  };
  const auto add_name = [&](std::string key, auto value, auto default_value, bool always) {
    if (always || value != default_value)
      fields.emplace_back(std::move(key), fmt::format("\"{}\"", Name(value)));
  };
  add_name("op", layer.op, plain.op, true);
  fields.emplace_back("in", fmt::format("[{}, {}, {}]", layer.in.c, layer.in.h, layer.in.w));
  add("out_channels", layer.out_channels, plain.out_channels, true);
  add("kernel", layer.kernel, plain.kernel, !tail);
  add("stride", layer.stride, plain.stride, !tail);
  add("groups", layer.groups, plain.groups, false);
  add("mid_channels", layer.mid_channels, plain.mid_channels, tail || inverted);
  add("expand", layer.expand, plain.expand, layer.op == Op::kIrb);
  add("se_channels", layer.se_channels, plain.se_channels, inverted);
  add_name("act", layer.act, plain.act, true);
  add_name("se_act", layer.se_act, plain.se_act, layer.se_channels > 0);
  add_name("se_gate", layer.se_gate, plain.se_gate, layer.se_channels > 0);
  add_name("padding", layer.padding, plain.padding, !tail);
  add("residual", layer.residual, plain.residual, !tail);
  add("hidden_channels", layer.hidden_channels, plain.hidden_channels, tail);
  add("hidden_bias", layer.hidden_bias, plain.hidden_bias, layer.hidden_channels > 0);
  add_name("hidden_act", layer.hidden_act, plain.hidden_act, layer.hidden_channels > 0);
  add("bn_eps", layer.bn_eps, plain.bn_eps, true);
  add("stage", layer.stage, plain.stage, true);
  return fields;
}

}  // namespace lathe::net
