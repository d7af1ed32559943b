#include "study/command_line.h"

#include <fmt/ranges.h>

#include <cctype>
#include <optional>
#include <utility>

#include "base/config.h"
#include "base/error.h"

namespace lathe::study {
namespace {

constexpr std::string_view kBlanks = " \t\n";
constexpr std::string_view kEscapedInQuotes = "\"\\$`";
constexpr std::string_view kForShells = "|&;<>()$`*?[";
constexpr std::string_view kForShellsInQuotes = "$`";
constexpr std::string_view kForShellsInFront = "~#";  // of a word

bool Has(std::string_view characters, char c) {
  return characters.find(c) != std::string_view::npos;
}

class Splitter {
 public:
  explicit Splitter(std::string_view text) : text_(text) {}

  std::vector<std::string> Split() {
    while (at_ < text_.size()) {
      const char c = text_[at_++];
      if (Has(kBlanks, c)) {
        EndWord();
      } else if (c == '\'') {
        TakeSingleQuoted();
      } else if (c == '"') {
        TakeDoubleQuoted();
      } else if (c == '\\') {
        Word() += Next("a backslash ends it");
      } else {
        if (Has(kForShells, c) || (!word_ && Has(kForShellsInFront, c))) RefuseForShell(c);
        Word() += c;
      }
    }
    EndWord();
    return std::move(words_);
  }

 private:
  void TakeSingleQuoted() {
    Word();
    for (char c; (c = Next("a ' is not closed")) != '\'';) Word() += c;
  }

  void TakeDoubleQuoted() {
    Word();
    for (char c; (c = Next("a \" is not closed")) != '"';) {
      if (Has(kForShellsInQuotes, c)) RefuseForShell(c);
      if (c == '\\') {
        const char next = Next("a \" is not closed");
        if (!Has(kEscapedInQuotes, next)) Word() += '\\';
        c = next;
      }
      Word() += c;
    }
  }

  char Next(std::string_view problem) {
    if (at_ == text_.size()) throw Error(ErrorKind::kInput, "{}", problem);
    return text_[at_++];
  }

  [[noreturn]] static void RefuseForShell(char c) {
    throw Error(ErrorKind::kInput,
                "no shell runs this, so {0} does nothing here; write '{0}' in single quotes to "
                "pass it on as it is, or start a script that does what you mean",
                c);
  }

  std::string& Word() {
    if (!word_) word_.emplace();
    return *word_;
  }

  void EndWord() {
    if (word_) words_.push_back(*std::exchange(word_, std::nullopt));
  }

  const std::string_view text_;
  size_t at_ = 0;
  std::optional<std::string> word_;  // the one begun; quotes may leave it empty
  std::vector<std::string> words_;
};

// The name if `text` begins with {name}.
std::optional<std::string_view> NameInBraces(std::string_view text) {
  if (!text.starts_with('{')) return std::nullopt;
  size_t end = 1;
  while (end < text.size() &&
         (text[end] == '_' || std::isalnum(static_cast<unsigned char>(text[end])))) {
    ++end;
  }
  if (end == 1 || end == text.size() || text[end] != '}') return std::nullopt;
  return text.substr(1, end - 1);
}

const std::string& ValueOf(std::string_view name,
                           const std::map<std::string, std::string>& values) {
  const auto found = values.find(std::string(name));
  if (found != values.end()) return found->second;
  std::vector<std::string> known;
  for (const auto& [key, unused] : values) known.push_back(key);
  const std::string nearest = NearestName(name, known);
  throw Error(ErrorKind::kInput, "unknown {{{}}}{}; known: {{{}}}; {{{{{}}}}} stands for itself",
              name, nearest.empty() ? "" : fmt::format("; did you mean {{{}}}?", nearest),
              fmt::join(known, "}, {"), name);
}

}  // namespace

std::vector<std::string> SplitWords(std::string_view text) { return Splitter(text).Split(); }

std::string FillIn(std::string_view word, const std::map<std::string, std::string>& values) {
  std::string filled;
  for (size_t at = 0; at < word.size();) {
    const std::string_view rest = word.substr(at);
    if (const auto name = NameInBraces(rest)) {
      filled += ValueOf(*name, values);
      at += name->size() + 2;
    } else if (const auto literal = NameInBraces(rest.substr(1));
               literal && rest[0] == '{' && rest.substr(literal->size() + 3).starts_with('}')) {
      filled += rest.substr(1, literal->size() + 2);
      at += literal->size() + 4;
    } else {
      filled += word[at++];
    }
  }
  return filled;
}

}  // namespace lathe::study
