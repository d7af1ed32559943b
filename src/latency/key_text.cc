#include "latency/key_text.h"

#include <algorithm>
#include <array>

namespace lathe::latency {
namespace {

using net::Activation;

constexpr std::array kActivations = {
    Activation::kNone,      Activation::kRelu,    Activation::kRelu6,      Activation::kSwish,
    Activation::kHardSwish, Activation::kSigmoid, Activation::kHardSigmoid};

}  // namespace

std::string Dashed(std::string_view name) {
  std::string text(name);
  std::replace(text.begin(), text.end(), '_', '-');
  return text;
}

// KeyOf runs for every layer of every candidate, so the names are made once.
const std::string& TextOf(Activation activation) {
  static const auto kTexts = [] {
    std::array<std::string, kActivations.size()> texts;
    for (size_t i = 0; i < texts.size(); ++i) texts[i] = Dashed(net::Name(kActivations[i]));
    return texts;
  }();
  return kTexts[std::find(kActivations.begin(), kActivations.end(), activation) -
                kActivations.begin()];
}

void Append(std::string& key, std::string_view prefix, int value) {
  std::array<char, 16> digits;
  const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  key.append(prefix).append(digits.data(), end);
}

void Append(std::string& key, std::string_view prefix, const net::Shape& shape) {
  Append(key, prefix, shape.c);
  Append(key, "x", shape.h);
  Append(key, "x", shape.w);
}

std::vector<std::string_view> SplitKey(std::string_view key) {
  std::vector<std::string_view> pieces;
  for (;;) {
    const size_t end = key.find('_');
    pieces.push_back(key.substr(0, end));
    if (end == std::string_view::npos) return pieces;
    key.remove_prefix(end + 1);
  }
}

bool KeyReader::Skip(std::string_view prefix) {
  if (!rest_.starts_with(prefix)) return false;
  rest_.remove_prefix(prefix.size());
  return true;
}

std::optional<int> KeyReader::Int() {
  int value = 0;
  const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
  if (error != std::errc() || value < 0) return {};
  rest_.remove_prefix(end - rest_.data());
  return value;
}

// The longest name first: "relu6" also starts with "relu".
std::optional<Activation> KeyReader::Act() {
  std::optional<Activation> found;
  for (const Activation a : kActivations) {
    if (rest_.starts_with(TextOf(a)) && (!found || TextOf(a).size() > TextOf(*found).size()))
      found = a;
  }
  if (found) Skip(TextOf(*found));
  return found;
}

bool ReadInt(std::string_view text, std::string_view prefix, int& value) {
  KeyReader reader(text);
  if (!reader.Skip(prefix)) return false;
  const auto number = reader.Int();
  if (!number || !reader.AtEnd()) return false;
  value = *number;
  return true;
}

bool ReadShape(std::string_view text, std::string_view prefix, net::Shape& shape) {
  KeyReader reader(text);
  if (!reader.Skip(prefix)) return false;
  const auto c = reader.Int();
  if (!c || !reader.Skip("x")) return false;
  const auto h = reader.Int();
  if (!h || !reader.Skip("x")) return false;
  const auto w = reader.Int();
  if (!w || !reader.AtEnd()) return false;
  shape = {*c, *h, *w};
  return true;
}

bool ReadActivation(std::string_view text, Activation& activation) {
  KeyReader reader(text);
  const auto act = reader.Act();
  if (!act || !reader.AtEnd()) return false;
  activation = *act;
  return true;
}

}  // namespace lathe::latency
