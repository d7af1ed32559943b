// Reading configuration with positions: one view over TOML or JSON tables that checks types and
// ranges, remembers which keys were read, and turns every mistake into an Error naming file, line,
// key, what is allowed and the nearest valid name.
//
//   ConfigFile file = ConfigFile::LoadToml("study.toml");
//   Config root = file.root();
//   Config target = root.Table("target");
//   int threads = target.Int("threads", {.fallback = 1, .min = 1, .max = 1024});
//   target.Finish();  // throws for keys that nobody read
//
// gives "study.toml:12: [target] unknown key 'thread'; did you mean 'threads'? known keys:
// threads".
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lathe {

struct IntOptions {
  std::optional<int64_t> fallback = {};  // absent: the key is required
  int64_t min = std::numeric_limits<int64_t>::min();
  int64_t max = std::numeric_limits<int64_t>::max();
};

struct RealOptions {
  std::optional<double> fallback = {};
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
};

// One table; a cheap view that may outlive its ConfigFile. Not thread-safe (it records the keys
// read). A JSON null reads as a missing key. In messages, elements of lists are counted from 0.
class Config {
 public:
  enum class Type { kMissing, kBool, kInt, kReal, kString, kList, kTable };
  struct Node;  // shared by the TOML and JSON readers
  Config(std::shared_ptr<const Node> node, std::string path);

  // These do not count as reading a key. Keys() is in the file's order, for tables with free keys.
  bool Has(std::string_view key) const;
  Type TypeOf(std::string_view key) const;
  bool HasTable(std::string_view key) const;  // the same, and it is a table
  std::vector<std::string> Keys() const;

  int64_t Int(std::string_view key, const IntOptions& options = {}) const;
  // Integers are accepted.
  double Real(std::string_view key, const RealOptions& options = {}) const;
  bool Bool(std::string_view key, std::optional<bool> fallback = {}) const;
  std::string String(std::string_view key, std::optional<std::string> fallback = {}) const;
  // A file's name: relative to the file that names it, to the working folder in --set. Returned
  // absolute; "" stays.
  std::string Path(std::string_view key, std::optional<std::string> fallback = {}) const;
  // One of `choices`; the error lists them and the nearest.
  std::string Choice(std::string_view key, std::span<const std::string_view> choices,
                     std::optional<std::string> fallback = {}) const;
  // A single value reads as a list of one, in Reals() and Strings(), too.
  std::vector<int64_t> Ints(std::string_view key, const IntOptions& each = {}) const;
  std::vector<double> Reals(std::string_view key, const RealOptions& each = {}) const;
  std::vector<std::string> Strings(std::string_view key) const;  // missing key: empty list
  Config Table(std::string_view key) const;                // missing table reads as an empty one
  std::vector<Config> Tables(std::string_view key) const;  // array of tables; missing: empty

  // This table with `defaults` behind it: keys missing here are taken from there, tables inside
  // likewise. Messages keep naming the file each value came from.
  Config Over(const Config& defaults) const;

  // Throws kInput if any key of this table was never read. Call it last.
  void Finish() const;
  // Throws kInput at the position of `key` (or of the table if key is empty):
  // "FILE:LINE: [table] key: MESSAGE".
  [[noreturn]] void Fail(std::string_view key, std::string_view message) const;
  // "FILE:LINE" of `key`, or of the table.
  std::string Where(std::string_view key = {}) const;

 private:
  const Node* Find(std::string_view key) const;
  const Node* Read(std::string_view key) const;
  const Node& Require(std::string_view key, std::string_view expected) const;
  const Node& Position(std::string_view key) const;
  std::shared_ptr<const Node> node_;
  std::string path_;
};

class ConfigFile {
 public:
  // Throw kInput for a missing file or a syntax error ("FILE:LINE:COLUMN: ...").
  // `overrides` are "table.key=value" settings (--set) applied on top, the value in TOML or else a
  // plain string; "stages.2.kernel=5" reaches into a list. Missing tables are created.
  static ConfigFile LoadToml(const std::filesystem::path& path,
                             std::span<const std::string> overrides = {});
  static ConfigFile ParseToml(std::string_view text, std::string_view name,
                              std::span<const std::string> overrides = {});
  static ConfigFile LoadJson(const std::filesystem::path& path);
  static ConfigFile ParseJson(std::string_view text, std::string_view name);

  Config root() const;
  const std::string& name() const { return name_; }
  // The resolved document (after overrides) in its own order, without comments and JSON nulls.
  std::string ToToml() const;

 private:
  std::string name_;
  std::shared_ptr<const Config::Node> root_;
};

// The name in `names` with the smallest edit distance to `name`, if close enough to be a
// misspelling; else "".
std::string NearestName(std::string_view name, std::span<const std::string> names);

}  // namespace lathe
