// The pieces that the texts of layer keys and part keys are made of. Internal to this module.
#pragma once

#include <charconv>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "net/network.h"

namespace lathe::latency {

// Underscores separate the pieces of a key, so names inside it use dashes.
std::string Dashed(std::string_view name);
const std::string& TextOf(net::Activation activation);
void Append(std::string& key, std::string_view prefix, int value);
// "24x14x14"
void Append(std::string& key, std::string_view prefix, const net::Shape& shape);
std::vector<std::string_view> SplitKey(std::string_view key);

// Reads one piece of a key; every method returns nothing or false when the text is something else.
class KeyReader {
 public:
  explicit KeyReader(std::string_view text) : rest_(text) {}
  bool Skip(std::string_view prefix);
  std::optional<int> Int();
  std::optional<net::Activation> Act();
  bool AtEnd() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

// Whole pieces: "PREFIX123", "PREFIX24x14x14", "hard-swish". False, and the value as it was or half
// read, when `text` is something else.
bool ReadInt(std::string_view text, std::string_view prefix, int& value);
bool ReadShape(std::string_view text, std::string_view prefix, net::Shape& shape);
bool ReadActivation(std::string_view text, net::Activation& activation);

}  // namespace lathe::latency
