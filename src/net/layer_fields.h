// A layer as the keys and values of network.json. Private to this module: writing, and telling
// layers apart in messages.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/network.h"

namespace lathe::net {

// Key and JSON value of everything that defines the layer: what its operation uses, and whatever
// else is not at its default.
std::vector<std::pair<std::string, std::string>> LayerFields(const Layer& layer);

// `text` as a JSON string, quoted and escaped.
std::string QuoteJson(std::string_view text);

}  // namespace lathe::net
