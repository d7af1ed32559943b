#include "base/config.h"

#include <algorithm>
#include <cctype>
#include <type_traits>

#include "base/config_node.h"
#include "base/error.h"

namespace lathe {
namespace {

using Node = Config::Node;

std::string JoinPath(std::string_view table, std::string_view key) {
  if (table.empty() || key.empty()) return std::string(table) + std::string(key);
  return fmt::format("{}.{}", table, key);
}

// "FILE:LINE: [table] MESSAGE"
[[noreturn]] void FailAt(const Node& node, std::string_view table, std::string_view message) {
  const std::string context = table.empty() ? "" : fmt::format("[{}] ", table);
  throw Error(ErrorKind::kInput, "{}: {}{}", node.Where(), context, message);
}

struct Describe {
  std::string operator()(std::monostate) const { return "null"; }
  std::string operator()(bool value) const { return value ? "true" : "false"; }
  std::string operator()(int64_t value) const { return fmt::format("the integer {}", value); }
  std::string operator()(double value) const { return fmt::format("the real number {}", value); }
  std::string operator()(const std::string& value) const {
    constexpr size_t kShown = 40;
    return fmt::format("the string \"{}{}\"", value.substr(0, kShown),
                       value.size() > kShown ? "..." : "");
  }
  std::string operator()(const Node::Array&) const { return "a list"; }
  std::string operator()(const Node::Members&) const { return "a table"; }
};

template <typename Options>
std::string RangeOf(const Options& options) {
  const bool has_min = options.min != Options{}.min;
  const bool has_max = options.max != Options{}.max;
  if (has_min && has_max) return fmt::format(" from {} to {}", options.min, options.max);
  if (has_min) return fmt::format(" of at least {}", options.min);
  if (has_max) return fmt::format(" of at most {}", options.max);
  return "";
}

std::string Expected(const IntOptions& options) { return "an integer" + RangeOf(options); }
std::string Expected(const RealOptions& options) { return "a number" + RangeOf(options); }

// Where a value stands, for messages: `key` of `table`, in `node`.
struct Spot {
  const Node& node;
  std::string_view table;
  std::string key;

  [[noreturn]] void WrongType(std::string_view expected) const {
    FailAt(node, table,
           fmt::format("{}: expected {}, found {}", key, expected,
                       std::visit(Describe{}, node.value)));
  }
};

template <typename T, typename Options>
T CheckRange(const Spot& spot, T value, const Options& options) {
  if (value >= options.min && value <= options.max) return value;  // false for NaN, too
  FailAt(spot.node, spot.table,
         fmt::format("{}: {} is out of range: expected {}", spot.key, value, Expected(options)));
}

int64_t ToInt(const Spot& spot, const IntOptions& options) {
  const int64_t* value = std::get_if<int64_t>(&spot.node.value);
  if (value == nullptr) spot.WrongType(Expected(options));
  return CheckRange(spot, *value, options);
}

double ToReal(const Spot& spot, const RealOptions& options) {
  if (const int64_t* value = std::get_if<int64_t>(&spot.node.value)) {
    return CheckRange(spot, static_cast<double>(*value), options);
  }
  const double* value = std::get_if<double>(&spot.node.value);
  if (value == nullptr) spot.WrongType(Expected(options));
  return CheckRange(spot, *value, options);
}

std::string ToText(const Spot& spot) {
  const std::string* value = std::get_if<std::string>(&spot.node.value);
  if (value == nullptr) spot.WrongType("a string");
  return *value;
}

// Applies `convert` to each element of a list, or to the one value that stands for it.
template <typename Convert>
auto ToList(const Spot& spot, Convert convert) {
  std::vector<decltype(convert(spot))> values;
  const auto* array = std::get_if<Node::Array>(&spot.node.value);
  if (array == nullptr) return values = {convert(spot)};
  values.reserve(array->size());
  for (const auto& element : *array) {
    values.push_back(
        convert(Spot{*element, spot.table, fmt::format("{}.{}", spot.key, values.size())}));
  }
  return values;
}

size_t EditDistance(std::string_view a, std::string_view b) {
  const auto same = [](char x, char y) {
    const auto fold = [](char c) {
      return c == '-' ? '_' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    };
    return fold(x) == fold(y);
  };
  // Optimal string alignment: insertions, deletions, substitutions and swaps of neighbours.
  std::vector<std::vector<size_t>> cost(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) {
    for (size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        cost[i][j] = i + j;
        continue;
      }
      cost[i][j] = std::min({cost[i - 1][j] + 1, cost[i][j - 1] + 1,
                             cost[i - 1][j - 1] + (same(a[i - 1], b[j - 1]) ? 0 : 1)});
      if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1])) {
        cost[i][j] = std::min(cost[i][j], cost[i - 2][j - 2] + 1);
      }
    }
  }
  return cost[a.size()][b.size()];
}

// "; did you mean 'x'?", or ";" when no name is near: what follows lists them all.
std::string Suggestion(std::string_view name, std::span<const std::string> names) {
  const std::string nearest = NearestName(name, names);
  return nearest.empty() ? ";" : fmt::format("; did you mean '{}'?", nearest);
}

template <typename Value>
constexpr bool kHoldsNodes =
    std::is_same_v<Value, Node::Array> || std::is_same_v<Value, Node::Members>;

std::unique_ptr<Node> Copy(const Node& node) {
  auto copy = std::make_unique<Node>(node.source, node.line);
  if (node.members() != nullptr) {
    copy->value = Node::Members{};
    for (const auto& [key, child] : node.Ordered()) copy->SetMember(std::string(key), Copy(*child));
  } else if (const auto* array = std::get_if<Node::Array>(&node.value)) {
    Node::Array elements;
    for (const auto& element : *array) elements.push_back(Copy(*element));
    copy->value = std::move(elements);
  } else {
    std::visit(
        [&](const auto& value) {
          if constexpr (!kHoldsNodes<std::decay_t<decltype(value)>>) copy->value = value;
        },
        node.value);
  }
  return copy;
}

void FillIn(Node* table, const Node& defaults) {
  for (const auto& [key, child] : defaults.Ordered()) {
    const auto found = table->members()->find(key);
    if (found == table->members()->end()) {
      table->SetMember(std::string(key), Copy(*child));
    } else if (found->second->members() != nullptr && child->members() != nullptr) {
      FillIn(found->second.get(), *child);
    }
  }
}

}  // namespace

std::string NearestName(std::string_view name, std::span<const std::string> names) {
  std::string nearest;
  size_t smallest = std::string::npos;
  for (const std::string& candidate : names) {
    const size_t longest = std::max(name.size(), candidate.size());
    const size_t distance = EditDistance(name, candidate);
    const bool close = distance <= (longest + 2) / 3 && distance < longest;
    if (close && distance < smallest) {
      smallest = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

Config::Config(std::shared_ptr<const Node> node, std::string path)
    : node_(std::move(node)), path_(std::move(path)) {}

// Records that `key` was asked for. Null if it is absent or JSON's null.
const Config::Node* Config::Find(std::string_view key) const {
  if (std::find(node_->asked.begin(), node_->asked.end(), key) == node_->asked.end()) {
    node_->asked.emplace_back(key);
  }
  const auto found = node_->members()->find(key);
  if (found == node_->members()->end()) return nullptr;
  const Node* node = found->second.get();
  if (!std::holds_alternative<std::monostate>(node->value)) return node;
  node->read = true;
  return nullptr;
}

const Config::Node* Config::Read(std::string_view key) const {
  const Node* node = Find(key);
  if (node != nullptr) node->read = true;
  return node;
}

const Config::Node& Config::Require(std::string_view key, std::string_view expected) const {
  if (const Node* node = Read(key)) return *node;
  std::vector<std::string> unread;
  for (const auto& [name, node] : *node_->members()) {
    if (!node->read) unread.push_back(name);
  }
  const std::string similar = NearestName(key, unread);
  const std::string hint = similar.empty()
                               ? ""
                               : fmt::format("; is '{}' ({}) a misspelling of it?", similar,
                                             node_->members()->at(similar)->Where());
  FailAt(*node_, path_, fmt::format("missing required key '{}' ({}){}", key, expected, hint));
}

bool Config::Has(std::string_view key) const { return Find(key) != nullptr; }

Config::Type Config::TypeOf(std::string_view key) const {
  struct Visitor {
    Type operator()(std::monostate) const { return Type::kMissing; }
    Type operator()(bool) const { return Type::kBool; }
    Type operator()(int64_t) const { return Type::kInt; }
    Type operator()(double) const { return Type::kReal; }
    Type operator()(const std::string&) const { return Type::kString; }
    Type operator()(const Node::Array&) const { return Type::kList; }
    Type operator()(const Node::Members&) const { return Type::kTable; }
  };
  const Node* node = Find(key);
  return node == nullptr ? Type::kMissing : std::visit(Visitor{}, node->value);
}

bool Config::HasTable(std::string_view key) const {
  const Node* node = Find(key);
  return node != nullptr && node->members() != nullptr;
}

std::vector<std::string> Config::Keys() const {
  std::vector<std::string> keys;
  for (const auto& [key, node] : node_->Ordered()) keys.emplace_back(key);
  return keys;
}

int64_t Config::Int(std::string_view key, const IntOptions& options) const {
  if (options.fallback && !Find(key)) return *options.fallback;
  return ToInt({Require(key, Expected(options)), path_, std::string(key)}, options);
}

double Config::Real(std::string_view key, const RealOptions& options) const {
  if (options.fallback && !Find(key)) return *options.fallback;
  return ToReal({Require(key, Expected(options)), path_, std::string(key)}, options);
}

bool Config::Bool(std::string_view key, std::optional<bool> fallback) const {
  constexpr std::string_view kExpected = "true or false";
  if (fallback && !Find(key)) return *fallback;
  const Spot spot{Require(key, kExpected), path_, std::string(key)};
  const bool* value = std::get_if<bool>(&spot.node.value);
  if (value == nullptr) spot.WrongType(kExpected);
  return *value;
}

std::string Config::String(std::string_view key, std::optional<std::string> fallback) const {
  if (fallback && !Find(key)) return *fallback;
  return ToText({Require(key, "a string"), path_, std::string(key)});
}

std::string Config::Path(std::string_view key, std::optional<std::string> fallback) const {
  namespace fs = std::filesystem;
  if (fallback && !Find(key)) return *fallback;
  const std::string name = String(key);
  if (name.empty()) return name;
  const Node& node = Position(key);
  const fs::path folder = node.line > 0 ? fs::path(*node.source).parent_path() : fs::path();
  return fs::absolute(folder / name).lexically_normal().string();
}

std::string Config::Choice(std::string_view key, std::span<const std::string_view> choices,
                           std::optional<std::string> fallback) const {
  if (fallback && !Find(key)) return *fallback;
  const std::string list = fmt::format("{}", fmt::join(choices, ", "));
  const Spot spot{Require(key, "one of: " + list), path_, std::string(key)};
  const std::string value = ToText(spot);
  if (std::find(choices.begin(), choices.end(), value) != choices.end()) return value;
  const std::vector<std::string> names(choices.begin(), choices.end());
  FailAt(spot.node, path_,
         fmt::format("{}: unknown value '{}'{} choices: {}", key, value, Suggestion(value, names),
                     list));
}

std::vector<int64_t> Config::Ints(std::string_view key, const IntOptions& each) const {
  if (each.fallback && !Find(key)) return {*each.fallback};
  const Spot spot{Require(key, "a list, each " + Expected(each)), path_, std::string(key)};
  return ToList(spot, [&](const Spot& element) { return ToInt(element, each); });
}

std::vector<double> Config::Reals(std::string_view key, const RealOptions& each) const {
  if (each.fallback && !Find(key)) return {*each.fallback};
  const Spot spot{Require(key, "a list, each " + Expected(each)), path_, std::string(key)};
  return ToList(spot, [&](const Spot& element) { return ToReal(element, each); });
}

std::vector<std::string> Config::Strings(std::string_view key) const {
  const Node* node = Read(key);
  if (node == nullptr) return {};
  return ToList(Spot{*node, path_, std::string(key)}, ToText);
}

Config Config::Table(std::string_view key) const {
  const Node* node = Read(key);
  if (node == nullptr) {
    const auto empty = std::make_shared<Node>(node_->source, node_->line);
    empty->value = Node::Members{};
    return Config(empty, JoinPath(path_, key));
  }
  if (node->members() == nullptr) Spot{*node, path_, std::string(key)}.WrongType("a table");
  return Config({node_, node}, JoinPath(path_, key));
}

std::vector<Config> Config::Tables(std::string_view key) const {
  const Node* node = Read(key);
  if (node == nullptr) return {};
  const Spot spot{*node, path_, std::string(key)};
  if (!std::holds_alternative<Node::Array>(node->value)) spot.WrongType("a list of tables");
  return ToList(spot, [&](const Spot& element) {
    if (element.node.members() == nullptr) element.WrongType("a table");
    return Config({node_, &element.node}, JoinPath(path_, element.key));
  });
}

Config Config::Over(const Config& defaults) const {
  std::unique_ptr<Node> merged = Copy(*node_);
  FillIn(merged.get(), *defaults.node_);
  return Config(std::shared_ptr<const Node>(std::move(merged)), path_);
}

void Config::Finish() const {
  std::vector<std::string> unknown;
  for (const auto& [key, node] : node_->Ordered()) {
    if (!node->read) unknown.emplace_back(key);
  }
  if (unknown.empty()) return;
  std::string message =
      fmt::format("unknown key '{}'{} known keys: {}", unknown.front(),
                  Suggestion(unknown.front(), node_->asked),
                  node_->asked.empty() ? "none" : fmt::format("{}", fmt::join(node_->asked, ", ")));
  if (unknown.size() > 1) {
    message +=
        fmt::format("; also unknown: {}", fmt::join(unknown.begin() + 1, unknown.end(), ", "));
  }
  FailAt(*node_->members()->at(unknown.front()), path_, message);
}

const Config::Node& Config::Position(std::string_view key) const {
  const auto found = node_->members()->find(key);
  return found == node_->members()->end() ? *node_ : *found->second;
}

void Config::Fail(std::string_view key, std::string_view message) const {
  FailAt(Position(key), path_,
         key.empty() ? std::string(message) : fmt::format("{}: {}", key, message));
}

std::string Config::Where(std::string_view key) const { return Position(key).Where(); }

Config ConfigFile::root() const { return Config(root_, ""); }

}  // namespace lathe
