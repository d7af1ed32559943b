// JSON in, with line numbers: nlohmann-json's tree has none, so its SAX events build ours while the
// input iterator counts the newlines that the parser has consumed.
#include <iterator>
#include <nlohmann/json.hpp>

#include "base/config.h"
#include "base/config_node.h"
#include "base/error.h"
#include "base/file.h"

namespace lathe {
namespace {

using Json = nlohmann::json;
using Node = Config::Node;

struct Position {
  int line = 1;
  int column = 0;  // of the last character consumed
  char last = '\0';

  void Consume(char c) {
    if (last == '\n') {
      ++line;
      column = 0;
    }
    ++column;
    last = c;
  }
};

// Walks over text and tells `position` what was consumed. A newline counts once the character after
// it is read: the parser looks one character ahead to find the end of a number.
class CountingIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  CountingIterator(const char* at, Position* position) : at_(at), position_(position) {}
  reference operator*() const { return *at_; }
  CountingIterator& operator++() {
    position_->Consume(*at_++);
    return *this;
  }
  CountingIterator operator++(int) {
    CountingIterator before = *this;
    ++*this;
    return before;
  }
  bool operator==(const CountingIterator& other) const { return at_ == other.at_; }
  bool operator!=(const CountingIterator& other) const { return at_ != other.at_; }

 private:
  const char* at_;
  Position* position_;
};

class TreeBuilder : public Json::json_sax_t {
 public:
  TreeBuilder(std::string_view name, const Position* position)
      : source_(std::make_shared<const std::string>(name)), position_(position) {}

  std::unique_ptr<Node> TakeRoot() { return std::move(root_); }

  bool null() override { return Add(std::monostate()); }
  bool boolean(bool value) override { return Add(value); }
  bool number_integer(Json::number_integer_t value) override { return Add(value); }
  bool number_unsigned(Json::number_unsigned_t value) override {
    if (value <= static_cast<uint64_t>(INT64_MAX)) return Add(static_cast<int64_t>(value));
    return Add(static_cast<double>(value));
  }
  bool number_float(Json::number_float_t value, const std::string&) override { return Add(value); }
  bool string(std::string& value) override { return Add(std::move(value)); }
  bool binary(Json::binary_t&) override { return false; }  // text has none

  bool start_object(size_t) override { return Open(Node::Members{}); }
  bool start_array(size_t) override { return Open(Node::Array{}); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }

  bool key(std::string& value) override {
    if (const auto& members = *open_.back()->members(); members.contains(value)) {
      throw Error(ErrorKind::kInput, "{}:{}: key '{}' appears twice; it was set at {} already",
                  *source_, position_->line, value, members.find(value)->second->Where());
    }
    key_ = std::move(value);
    return true;
  }

  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& error) override {
    // "[json.exception.parse_error.101] parse error at line 1, column 2: REASON"
    std::string_view reason = error.what();
    if (const size_t at = reason.find("column "); at != std::string_view::npos) {
      reason.remove_prefix(reason.find(": ", at) + 2);
    }
    throw Error(ErrorKind::kInput, "{}:{}:{}: {}", *source_, position_->line, position_->column,
                reason);
  }

 private:
  template <typename T>
  Node* Append(T value) {
    auto node = std::make_unique<Node>(source_, position_->line);
    node->value = std::move(value);
    if (open_.empty()) return (root_ = std::move(node)).get();
    if (auto* array = std::get_if<Node::Array>(&open_.back()->value)) {
      return array->emplace_back(std::move(node)).get();
    }
    return open_.back()->SetMember(std::move(key_), std::move(node));
  }

  template <typename T>
  bool Add(T value) {
    Append(std::move(value));
    return true;
  }

  template <typename T>
  bool Open(T value) {
    // Deeper trees than any file of ours would overflow the stack when they are destroyed.
    constexpr size_t kMaxDepth = 100;
    if (open_.size() >= kMaxDepth) {
      throw Error(ErrorKind::kInput, "{}:{}: tables and lists nest deeper than {} levels", *source_,
                  position_->line, kMaxDepth);
    }
    open_.push_back(Append(std::move(value)));
    return true;
  }

  bool Close() {
    open_.pop_back();
    return true;
  }

  Node::Source source_;
  const Position* position_;
  std::unique_ptr<Node> root_;
  std::vector<Node*> open_;  // the tables and lists around the current position
  std::string key_;
};

}  // namespace

ConfigFile ConfigFile::ParseJson(std::string_view text, std::string_view name) {
  Position position;
  TreeBuilder builder(name, &position);
  Json::sax_parse(CountingIterator(text.data(), &position),
                  CountingIterator(text.data() + text.size(), &position), &builder);
  std::shared_ptr<Node> root = builder.TakeRoot();
  if (root->members() == nullptr) {
    throw Error(ErrorKind::kInput, "{}: expected a JSON object, {{...}}, as the whole file", name);
  }
  root->line = 0;  // what concerns the root concerns the file
  ConfigFile file;
  file.name_ = name;
  file.root_ = std::move(root);
  return file;
}

ConfigFile ConfigFile::LoadJson(const std::filesystem::path& path) {
  return ParseJson(ReadFile(path), path.string());
}

}  // namespace lathe
