// The value tree behind Config and ConfigFile, filled by the TOML and the JSON reader. Private to
// this module: only config*.cc include it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/config.h"

namespace lathe {

struct Config::Node {
  using Array = std::vector<std::unique_ptr<Node>>;
  using Members = std::map<std::string, std::unique_ptr<Node>, std::less<>>;
  using Source = std::shared_ptr<const std::string>;

  Node(Source source_, int line_) : source(std::move(source_)), line(line_) {}

  // monostate is JSON's null, which reads as a missing key.
  std::variant<std::monostate, bool, int64_t, double, std::string, Array, Members> value;
  Source source;     // the file's name, or the --set option that made this value
  int line = 0;      // 0: the source as a whole
  size_t order = 0;  // position among the members of its table, in the source's order
  mutable bool read = false;
  mutable std::vector<std::string> asked;  // keys of this table that somebody asked for

  std::string Where() const { return line > 0 ? *source + ":" + std::to_string(line) : *source; }

  Members* members() { return std::get_if<Members>(&value); }
  const Members* members() const { return std::get_if<Members>(&value); }

  // The members of this table in the source's order.
  std::vector<std::pair<std::string_view, const Node*>> Ordered() const {
    std::vector<std::pair<std::string_view, const Node*>> ordered;
    for (const auto& [key, child] : *members()) ordered.emplace_back(key, child.get());
    std::sort(ordered.begin(), ordered.end(),
              [](const auto& a, const auto& b) { return a.second->order < b.second->order; });
    return ordered;
  }

  // Sets or replaces a member of this table.
  Node* SetMember(std::string key, std::unique_ptr<Node> child) {
    child->order = members()->size();
    return ((*members())[std::move(key)] = std::move(child)).get();
  }
};

}  // namespace lathe
