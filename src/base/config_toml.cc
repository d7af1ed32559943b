// TOML in (with positions) and out, and --set overrides. toml++ stays inside this file.
#include <toml++/toml.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <sstream>

#include "base/config.h"
#include "base/config_node.h"
#include "base/error.h"
#include "base/file.h"

namespace lathe {
namespace {

using Node = Config::Node;

int LineOf(const toml::node& node) { return static_cast<int>(node.source().begin.line); }

// Without lines, every value stands at `source` as a whole.
std::unique_ptr<Node> Convert(const toml::node& from, const Node::Source& source, bool with_lines) {
  auto node = std::make_unique<Node>(source, with_lines ? LineOf(from) : 0);
  if (const toml::table* table = from.as_table()) {
    node->value = Node::Members{};
    std::vector<std::pair<toml::source_position, std::string>> keys;  // toml++ sorts by name
    for (const auto& [key, value] : *table) {
      keys.emplace_back(key.source().begin, std::string(key.str()));
    }
    std::stable_sort(keys.begin(), keys.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    for (const auto& [position, key] : keys) {
      node->SetMember(key, Convert(*table->get(key), source, with_lines));
    }
  } else if (const toml::array* array = from.as_array()) {
    auto& elements = node->value.emplace<Node::Array>();
    for (const toml::node& element : *array) {
      elements.push_back(Convert(element, source, with_lines));
    }
  } else if (const auto* boolean = from.as_boolean()) {
    node->value = boolean->get();
  } else if (const auto* integer = from.as_integer()) {
    node->value = integer->get();
  } else if (const auto* real = from.as_floating_point()) {
    node->value = real->get();
  } else if (const auto* text = from.as_string()) {
    node->value = text->get();
  } else {
    throw Error(ErrorKind::kInput, "{}: no setting takes a date or time; put it in quotes",
                node->Where());
  }
  return node;
}

// The value of "key=TEXT": TEXT read as TOML, or else as the string it is.
std::unique_ptr<Node> ParseValue(const std::string& text, const Node::Source& source) {
  try {
    const toml::table table = toml::parse("value = " + text);
    if (table.size() == 1) return Convert(*table.get("value"), source, /*with_lines=*/false);
  } catch (const toml::parse_error&) {  // a bare word, as in --set target.engine=torch
  }
  auto node = std::make_unique<Node>(source, 0);
  node->value = text;
  return node;
}

// The element of `array` that `key` numbers, or null.
std::unique_ptr<Node>* ElementOf(Node::Array* array, const std::string& key) {
  size_t index = 0;
  const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), index);
  const bool ok = error == std::errc() && end == key.data() + key.size() && index < array->size();
  return ok ? &(*array)[index] : nullptr;
}

// Applies one "table.key=value" setting. Missing tables on the way are created; a number selects
// an element of a list ("stages.2.kernel=5").
void ApplyOverride(Node* root, const std::string& setting) {
  const auto source = std::make_shared<const std::string>("--set " + setting);
  const auto fail = [&](std::string_view message) {
    throw Error(ErrorKind::kInput, "{}: {}", *source, message);
  };
  const size_t equals = setting.find('=');
  if (equals == std::string::npos) fail("expected KEY=VALUE, for example target.threads=2");

  Node* node = root;
  std::string path = setting.substr(0, equals);
  while (true) {
    const size_t dot = path.find('.');
    const std::string key = path.substr(0, dot);
    const bool last = dot == std::string::npos;
    if (key.empty()) fail("the key, or a part of it between dots, is empty");
    std::unique_ptr<Node> created = last ? ParseValue(setting.substr(equals + 1), source) : nullptr;
    if (auto* array = std::get_if<Node::Array>(&node->value)) {
      std::unique_ptr<Node>* element = ElementOf(array, key);
      if (element == nullptr) {
        fail(fmt::format("'{}' is not an element of the list; it has {}, counted from 0", key,
                         array->size()));
      }
      if (last) *element = std::move(created);
      node = element->get();
    } else if (Node::Members* members = node->members()) {
      const auto found = members->find(key);
      if (found == members->end() && !last) {
        created = std::make_unique<Node>(source, 0);
        created->value = Node::Members{};
      }
      node = created ? node->SetMember(key, std::move(created)) : found->second.get();
    } else {
      fail(fmt::format("'{}' lies below a single value, which has no keys", key));
    }
    if (last) return;
    path.erase(0, dot + 1);
  }
}

// Writes a tree as TOML in the source's order. JSON's nulls have no counterpart and are left out.
class TomlWriter {
 public:
  std::string Write(const Node& root) {
    WriteTable(root, "");
    return out_.str();
  }

 private:
  static std::string Scalar(const auto& value) {
    std::ostringstream out;
    out << toml::toml_formatter(toml::value(value), toml::format_flags::none);
    return out.str();
  }

  static std::string Key(std::string_view key) {
    const bool bare = !key.empty() && std::all_of(key.begin(), key.end(), [](unsigned char c) {
      return std::isalnum(c) || c == '_' || c == '-';
    });
    return bare ? std::string(key) : Scalar(std::string(key));
  }

  static bool IsNull(const Node& node) {
    return std::holds_alternative<std::monostate>(node.value);
  }

  static bool IsListOfTables(const Node& node) {
    const auto* array = std::get_if<Node::Array>(&node.value);
    return array != nullptr && !array->empty() &&
           std::all_of(array->begin(), array->end(),
                       [](const auto& element) { return element->members() != nullptr; });
  }

  static std::string Inline(const Node& node) {
    std::vector<std::string> parts;
    if (const auto* array = std::get_if<Node::Array>(&node.value)) {
      for (const auto& element : *array) {
        if (!IsNull(*element)) parts.push_back(Inline(*element));
      }
      return fmt::format("[{}]", fmt::join(parts, ", "));
    }
    if (node.members() != nullptr) {
      for (const auto& [key, child] : node.Ordered()) {
        if (!IsNull(*child)) parts.push_back(Key(key) + " = " + Inline(*child));
      }
      return fmt::format("{{{}}}", fmt::join(parts, ", "));
    }
    if (const auto* boolean = std::get_if<bool>(&node.value)) return Scalar(*boolean);
    if (const auto* integer = std::get_if<int64_t>(&node.value)) return Scalar(*integer);
    if (const auto* real = std::get_if<double>(&node.value)) return Scalar(*real);
    return Scalar(std::get<std::string>(node.value));
  }

  // Values come before sub-tables: after a [header], a plain key would belong to that table.
  void WriteTable(const Node& table, const std::string& path) {
    for (const auto& [key, child] : table.Ordered()) {
      if (IsNull(*child) || child->members() != nullptr || IsListOfTables(*child)) continue;
      out_ << Key(key) << " = " << Inline(*child) << '\n';
    }
    for (const auto& [key, child] : table.Ordered()) {
      const std::string child_path = path.empty() ? Key(key) : path + "." + Key(key);
      if (child->members() != nullptr) {
        out_ << "\n[" << child_path << "]\n";
        WriteTable(*child, child_path);
      } else if (IsListOfTables(*child)) {
        for (const auto& element : std::get<Node::Array>(child->value)) {
          out_ << "\n[[" << child_path << "]]\n";
          WriteTable(*element, child_path);
        }
      }
    }
  }

  std::ostringstream out_;
};

}  // namespace

ConfigFile ConfigFile::ParseToml(std::string_view text, std::string_view name,
                                 std::span<const std::string> overrides) {
  ConfigFile file;
  file.name_ = name;
  const auto source = std::make_shared<const std::string>(name);
  std::shared_ptr<Node> root;
  try {
    root = Convert(toml::parse(text, name), source, /*with_lines=*/true);
  } catch (const toml::parse_error& error) {
    const auto& position = error.source().begin;
    throw Error(ErrorKind::kInput, "{}:{}:{}: {}", name, position.line, position.column,
                error.description());
  }
  root->line = 0;  // what concerns the root concerns the file
  for (const std::string& setting : overrides) ApplyOverride(root.get(), setting);
  file.root_ = std::move(root);
  return file;
}

ConfigFile ConfigFile::LoadToml(const std::filesystem::path& path,
                                std::span<const std::string> overrides) {
  return ParseToml(ReadFile(path), path.string(), overrides);
}

std::string ConfigFile::ToToml() const { return TomlWriter().Write(*root_); }

}  // namespace lathe
