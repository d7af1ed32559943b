#include "base/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "base/file.h"
#include "base/temp_folder_testing.h"

namespace lathe {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::string_view kToml = R"(version = 1
name = "first"
ratio = 2

[target]
engine = "openvino"
threads = 4
warm = true
kernel = [3, 5]
rates = [0.5, 1]
one = 7

[[stage]]
op = "irb"
[[stage]]
op = "fused"
layers = 9
)";

void ExpectInputError(const std::string& message, const std::function<void()>& action) {
  ExpectError(ErrorKind::kInput, message, action);
}

Config Root(std::string_view toml) { return ConfigFile::ParseToml(toml, "x.toml").root(); }
Config JsonRoot(std::string_view json) { return ConfigFile::ParseJson(json, "x.json").root(); }

TEST(ConfigTest, ReadsEveryType) {
  const Config root = Root(kToml);
  EXPECT_EQ(root.Int("version"), 1);
  EXPECT_EQ(root.String("name"), "first");
  EXPECT_EQ(root.Real("ratio"), 2.0);
  const Config target = root.Table("target");
  constexpr std::array<std::string_view, 2> kEngines = {"torch", "openvino"};
  EXPECT_EQ(target.Choice("engine", kEngines), "openvino");
  EXPECT_TRUE(target.Bool("warm"));
  EXPECT_THAT(target.Ints("kernel"), ElementsAre(3, 5));
  EXPECT_THAT(target.Ints("one"), ElementsAre(7));
  EXPECT_THAT(target.Reals("rates"), ElementsAre(0.5, 1.0));
  EXPECT_EQ(target.Int("threads", {.min = 1, .max = 4}), 4);
  EXPECT_NO_THROW(target.Finish());
  const std::vector<Config> stages = root.Tables("stage");
  ASSERT_EQ(stages.size(), 2u);
  EXPECT_EQ(stages[1].String("op"), "fused");
  EXPECT_EQ(stages[1].Where("layers"), "x.toml:17");
  EXPECT_NO_THROW(root.Finish());
}

TEST(ConfigTest, MissingKeysTakeTheFallback) {
  const Config root = Root("");
  EXPECT_EQ(root.Int("a", {.fallback = 3, .min = 5}), 3);  // a fallback may say "not set"
  EXPECT_EQ(root.Real("a", {.fallback = 0.5}), 0.5);
  EXPECT_TRUE(root.Bool("a", true));
  EXPECT_EQ(root.String("a", "x"), "x");
  EXPECT_EQ(root.Choice("a", {}, "y"), "y");
  EXPECT_THAT(root.Ints("a", {.fallback = 3}), ElementsAre(3));
  EXPECT_THAT(root.Reals("a", {.fallback = 3}), ElementsAre(3.0));
  EXPECT_THAT(root.Strings("a"), IsEmpty());
  EXPECT_THAT(root.Tables("a"), IsEmpty());
  EXPECT_FALSE(root.Has("a"));
  EXPECT_EQ(root.Table("a").Table("b").Int("c", {.fallback = 1}), 1);
}

TEST(ConfigTest, PathsAreRelativeToTheFileThatNamesThem) {
  const TempFolder folder;
  WriteFileAtomically(folder / "sub/c.toml",
                      "a = \"x.onnx\"\nb = \"/y\"\nc = \"\"\nd = \"../z\"\n");
  const std::array<std::string, 1> settings = {"e=sub/w"};
  const ConfigFile file = ConfigFile::LoadToml(folder / "sub/c.toml", settings);
  const Config root = file.root();
  EXPECT_EQ(root.Path("a"), folder / "sub/x.onnx");
  EXPECT_EQ(root.Path("b"), "/y");
  EXPECT_EQ(root.Path("c"), "");
  EXPECT_EQ(root.Path("d"), folder / "z");
  EXPECT_EQ(root.Path("e"), fs::current_path() / "sub/w");
  EXPECT_EQ(root.Path("f", "none"), "none");
  ExpectInputError("f", [&] { root.Path("f"); });
}

TEST(ConfigTest, UnknownKeySaysWhereAndWhatIsNear) {
  const Config target = Root("[target]\nengine = \"torch\"\nthread = 2\nzzz = 1").Table("target");
  target.Int("threads", {.fallback = 1});
  target.String("engine");
  ExpectInputError(
      "x.toml:3: [target] unknown key 'thread'; did you mean 'threads'? known keys: threads, "
      "engine; also unknown: zzz",
      [&] { target.Finish(); });
  ExpectInputError("x.toml:1: unknown key 'qqqqqq'; known keys: none",
                   [] { Root("qqqqqq = 1").Finish(); });
}

TEST(ConfigTest, AskingForTheTypeDoesNotCountAsReading) {
  const Config root = Root("a = 1\nb = [1]");
  EXPECT_TRUE(root.Has("a"));
  EXPECT_EQ(root.TypeOf("a"), Config::Type::kInt);
  EXPECT_EQ(root.TypeOf("b"), Config::Type::kList);
  EXPECT_EQ(root.TypeOf("c"), Config::Type::kMissing);
  EXPECT_THROW(root.Finish(), Error);
}

TEST(ConfigTest, MissingRequiredKeySaysWhatBelongsThere) {
  const Config target = Root("\n[target]\nthread = 2").Table("target");
  ExpectInputError(
      "x.toml:2: [target] missing required key 'threads' (an integer from 1 to 8); is 'thread' "
      "(x.toml:3) a misspelling of it?",
      [&] { target.Int("threads", {.min = 1, .max = 8}); });
  ExpectInputError("x.toml: missing required key 'name' (a string)",
                   [] { Root("").String("name"); });
  ExpectInputError("x.toml: [a.b] missing required key 'c'",
                   [] { Root("").Table("a").Table("b").Bool("c"); });
}

TEST(ConfigTest, WrongTypeSaysExpectedAndFound) {
  const Config root = Root(kToml);
  const Config target = root.Table("target");
  ExpectInputError("x.toml:6: [target] engine: expected an integer, found the string \"openvino\"",
                   [&] { target.Int("engine"); });
  ExpectInputError("x.toml:7: [target] threads: expected a string, found the integer 4",
                   [&] { target.String("threads"); });
  ExpectInputError("x.toml:7: [target] threads: expected true or false",
                   [&] { target.Bool("threads"); });
  ExpectInputError("[target] kernel: expected a number, found a list",
                   [&] { target.Real("kernel"); });
  ExpectInputError("x.toml:2: name: expected a table", [&] { root.Table("name"); });
  ExpectInputError("target: expected a list of tables, found a table",
                   [&] { root.Tables("target"); });
  ExpectInputError("stage: expected a table, found a list", [&] { root.Table("stage"); });
  ExpectInputError("x.toml:3: a.1: expected a number, found true",
                   [] { Root("a = [\n1,\ntrue]").Reals("a"); });
  ExpectInputError("x.toml:1: a.1: expected a table, found the integer 2",
                   [] { Root("a = [{}, 2]").Tables("a"); });
  ExpectInputError("a: expected an integer, found the real number 1.5",
                   [] { Root("a = 1.5").Int("a"); });
}

TEST(ConfigTest, ValuesOutOfRangeSayTheRange) {
  const Config root = Root("a = 0\nb = [1.0, nan]\nc = inf");
  ExpectInputError("x.toml:1: a: 0 is out of range: expected an integer from 1 to 8",
                   [&] { root.Int("a", {.min = 1, .max = 8}); });
  ExpectInputError("expected an integer of at least 1", [&] { root.Int("a", {.min = 1}); });
  ExpectInputError("expected a number of at most -0.5", [&] { root.Real("a", {.max = -0.5}); });
  ExpectInputError("x.toml:2: b.1: nan is out of range", [&] { root.Reals("b"); });
  EXPECT_TRUE(std::isinf(root.Real("c")));
}

TEST(ConfigTest, ChoiceListsTheChoices) {
  constexpr std::array<std::string_view, 2> kEngines = {"openvino", "torch"};
  ExpectInputError(
      "x.toml:1: e: unknown value 'openvno'; did you mean 'openvino'? choices: openvino, torch",
      [&] { Root("e = 'openvno'").Choice("e", kEngines); });
  ExpectInputError("x.toml:1: e: unknown value 'zzzzzzz'; choices: openvino, torch",
                   [&] { Root("e = 'zzzzzzz'").Choice("e", kEngines); });
}

TEST(ConfigTest, FailPointsAtTheKeyOrTheTable) {
  const Config target = Root(kToml).Table("target");
  ExpectInputError("x.toml:7: [target] threads: too many",
                   [&] { target.Fail("threads", "too many"); });
  ExpectInputError("x.toml:5: [target] contradictory", [&] { target.Fail("", "contradictory"); });
  ExpectInputError("x.toml:14: [stage.0] op: no",
                   [] { Root(kToml).Tables("stage")[0].Fail("op", "no"); });
}

TEST(ConfigTest, KeysKeepTheOrderOfTheFile) {
  EXPECT_THAT(Root("b = 1\na = 2\nc.d = 1").Keys(), ElementsAre("b", "a", "c"));
  EXPECT_THAT(JsonRoot(R"({"b": 1, "a": 2})").Keys(), ElementsAre("b", "a"));
}

TEST(ConfigTest, ViewsOutliveTheFile) {
  std::optional<ConfigFile> file = ConfigFile::ParseToml(kToml, "x.toml");
  const Config target = file->root().Table("target");
  file.reset();
  EXPECT_EQ(target.Int("threads"), 4);
}

TEST(TomlTest, SyntaxErrorsHaveLineAndColumn) {
  ExpectInputError("x.toml:2:5: ", [] { Root("a = 1\nb = = 2"); });
  ExpectInputError("x.toml:2:", [] { Root("a = 1\na = 2"); });
  ExpectInputError("x.toml:1: no setting takes a date", [] { Root("a = 2024-01-01"); });
  ExpectInputError("/nowhere/x.toml: No such file",
                   [] { ConfigFile::LoadToml("/nowhere/x.toml"); });
}

TEST(TomlTest, LoadsFiles) {
  TempFolder folder;
  WriteFileAtomically(folder / "a.toml", "a = 1");
  WriteFileAtomically(folder / "a.json", "{\"a\": 1}");
  EXPECT_EQ(ConfigFile::LoadToml(folder / "a.toml").root().Int("a"), 1);
  const ConfigFile json = ConfigFile::LoadJson(folder / "a.json");
  EXPECT_EQ(json.root().Int("a"), 1);
  EXPECT_EQ(json.name(), (folder / "a.json").string());
}

Config Overridden(const std::string& setting) {
  return ConfigFile::ParseToml(kToml, "x.toml", std::vector{setting}).root();
}

TEST(OverrideTest, ReplacesAddsAndIndexes) {
  EXPECT_EQ(Overridden("target.threads=8").Table("target").Int("threads"), 8);
  EXPECT_EQ(Overridden("ratio=1e-3").Real("ratio"), 1e-3);
  EXPECT_EQ(Overridden("name=a=b").String("name"), "a=b");
  EXPECT_EQ(Overridden("name=").String("name"), "");
  EXPECT_EQ(Overridden("name=\"quoted\"").String("name"), "quoted");
  EXPECT_EQ(Overridden("name=1\nratio = 5").String("name"), "1\nratio = 5");
  EXPECT_THAT(Overridden("target.kernel=[7]").Table("target").Ints("kernel"), ElementsAre(7));
  EXPECT_EQ(Overridden("target.kernel.1=9").Table("target").Ints("kernel").at(1), 9);
  EXPECT_EQ(Overridden("stage.1.layers=3").Tables("stage")[1].Int("layers"), 3);
  EXPECT_TRUE(Overridden("new.table.key=true").Table("new").Table("table").Bool("key"));
}

TEST(OverrideTest, ErrorsNameTheSetting) {
  ExpectInputError("--set target.threads: expected KEY=VALUE",
                   [] { Overridden("target.threads"); });
  ExpectInputError("--set a..b=1: ", [] { Overridden("a..b=1"); });
  ExpectInputError("--set name.x=1: 'x' lies below a single value", [] { Overridden("name.x=1"); });
  ExpectInputError("--set stage.2.op=x: '2' is not an element of the list; it has 2",
                   [] { Overridden("stage.2.op=x"); });
  ExpectInputError(
      "--set target.threads=many: [target] threads: expected an integer, found the "
      "string \"many\"",
      [] { Overridden("target.threads=many").Table("target").Int("threads"); });
  const Config root = Overridden("rato=3");
  for (const char* key : {"version", "name", "ratio", "target", "stage"}) root.Has(key);
  root.Int("version");
  root.String("name");
  root.Real("ratio");
  root.Table("target");
  root.Tables("stage");
  ExpectInputError("--set rato=3: unknown key 'rato'; did you mean 'ratio'?",
                   [&] { root.Finish(); });
}

TEST(TomlTest, WrittenTextReadsBackTheSame) {
  const std::vector<std::string> overrides = {"target.threads=8", "odd.\"key=1",
                                              "text=tab\t\"quote\" \\ \u00b5"};
  const ConfigFile file = ConfigFile::ParseToml(kToml, "x.toml", overrides);
  const std::string text = file.ToToml();
  const ConfigFile again = ConfigFile::ParseToml(text, "y.toml");
  EXPECT_EQ(again.ToToml(), text);
  EXPECT_EQ(again.root().Table("target").Int("threads"), 8);
  EXPECT_EQ(again.root().Table("odd").Int("\"key"), 1);
  EXPECT_EQ(again.root().String("text"), "tab\t\"quote\" \\ \u00b5");
  EXPECT_EQ(again.root().Tables("stage")[1].String("op"), "fused");
  EXPECT_THAT(text, testing::StartsWith("version = 1\nname = "));
}

TEST(TomlTest, WrittenNumbersKeepTypeAndValue) {
  constexpr std::string_view kText = R"(a = 2.0
b = 0.1
c = 1e300
d = -inf
e = [{ x = 1 }, 2]
f = 9007199254740993
)";
  const Config root = Root(ConfigFile::ParseToml(kText, "x.toml").ToToml());
  EXPECT_THROW(root.Int("a"), Error);
  EXPECT_EQ(root.Real("a"), 2.0);
  EXPECT_EQ(root.Real("b"), 0.1);
  EXPECT_EQ(root.Real("c"), 1e300);
  EXPECT_EQ(root.Real("d"), -INFINITY);
  EXPECT_EQ(root.Int("f"), 9007199254740993);
}

constexpr std::string_view kJson = R"({
  "version": 1,
  "null": null,
  "list": [
    1,
    2.5
  ],
  "table": {
    "text": "a\nb", "big": 18446744073709551615
  },
  "last": 3
})";

TEST(JsonTest, ReadsEveryTypeWithItsLine) {
  const Config root = JsonRoot(kJson);
  EXPECT_EQ(root.Int("version"), 1);
  EXPECT_EQ(root.Where("version"), "x.json:2");
  EXPECT_THAT(root.Reals("list"), ElementsAre(1.0, 2.5));
  EXPECT_EQ(root.Table("table").String("text"), "a\nb");
  EXPECT_EQ(root.Where("table"), "x.json:8");
  EXPECT_EQ(root.Table("table").Real("big"), 18446744073709551615.0);
  EXPECT_THROW(root.Table("table").Int("big"), Error);
  EXPECT_EQ(root.Int("last"), 3);
  EXPECT_EQ(root.Where("last"), "x.json:11");  // the newline ends the number
  ExpectInputError("x.json:6: list.1: expected an integer, found the real number 2.5",
                   [&] { root.Ints("list"); });
}

TEST(JsonTest, NullReadsAsMissing) {
  const Config root = JsonRoot(R"({"a": null})");
  EXPECT_FALSE(root.Has("a"));
  EXPECT_EQ(root.Int("a", {.fallback = 3}), 3);
  EXPECT_NO_THROW(root.Finish());
  ExpectInputError("missing required key 'a'", [&] { root.Int("a"); });
}

TEST(JsonTest, ErrorsHavePositions) {
  ExpectInputError("x.json:3: key 'a' appears twice; it was set at x.json:2 already",
                   [] { JsonRoot("{\n\"a\": 1,\n\"a\": 2}"); });
  ExpectInputError("x.json:2:6: syntax error", [] { JsonRoot("{\n\"a\" 1}"); });
  ExpectInputError("x.json:1:2: syntax error", [] { JsonRoot("{\n"); });
  ExpectInputError("x.json:1:", [] { JsonRoot(""); });
  ExpectInputError("x.json:1:", [] { JsonRoot("{} x"); });
  ExpectInputError("x.json: expected a JSON object", [] { JsonRoot("[1]"); });
}

TEST(NearestNameTest, FindsMisspellingsOnly) {
  const std::vector<std::string> names = {"threads", "latency_ms", "engine", "lr"};
  EXPECT_EQ(NearestName("thread", names), "threads");
  EXPECT_EQ(NearestName("Latency-MS", names), "latency_ms");
  EXPECT_EQ(NearestName("egnine", names), "engine");
  EXPECT_EQ(NearestName("batch", names), "");
  EXPECT_EQ(NearestName("x", std::vector<std::string>{"y"}), "");
  EXPECT_EQ(NearestName("x", {}), "");
}

}  // namespace
}  // namespace lathe
