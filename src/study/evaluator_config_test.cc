#include "study/evaluator_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/temp_folder_testing.h"

namespace lathe::study {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

EvaluatorConfig Read(const std::string& text) {
  const ConfigFile file = ConfigFile::ParseToml(text, "/studies/s.toml");
  return ReadEvaluator(file.root().Table("evaluator"), "/studies/s.toml");
}

std::string ProblemWith(const std::string& lines) {
  return MessageOf(ErrorKind::kInput,
                   [&] { Read("[evaluator]\nkind = \"command\"\n" + lines + "\n"); });
}

TEST(EvaluatorConfig, TrainsByDefault) {
  EXPECT_FALSE(Read("").HasProgram());
  EXPECT_FALSE(Read("[evaluator]\nkind = \"train\"").HasProgram());
}

TEST(EvaluatorConfig, ACommandIsATextOrItsWords) {
  const EvaluatorConfig text =
      Read("evaluator = { kind = \"command\", command = \"python3 'my train.py' {out}\" }");
  EXPECT_TRUE(text.HasProgram());
  EXPECT_THAT(text.command, ElementsAre("python3", "my train.py", "{out}"));
  EXPECT_EQ(text.folder, "/studies");
  EXPECT_FALSE(text.onnx);
  EXPECT_THAT(text.environment, IsEmpty());
  EXPECT_THAT(
      Read("evaluator = { kind = \"command\", command = [\"a b\", \"$x\", \"'\"] }").command,
      ElementsAre("a b", "$x", "'"));
}

TEST(EvaluatorConfig, ReadsBackWhatItWrites) {
  const EvaluatorConfig config{.command = {"a \"b\"\\", "$(x)\n{{job}}", "{onnx}", ""},
                               .folder = "/with \"quotes\"\nand lines",
                               .environment = {{"PATH", "/a:/b"}, {"odd.name", "'\"\n"}},
                               .onnx = true};
  const EvaluatorConfig again = Read(ToToml(config));
  EXPECT_EQ(again.command, config.command);
  EXPECT_EQ(again.folder, config.folder);
  EXPECT_EQ(again.environment, config.environment);
  EXPECT_TRUE(again.onnx);
  EXPECT_FALSE(Read(ToToml(EvaluatorConfig{})).HasProgram());
}

TEST(EvaluatorConfig, TheFolderIsRelativeToTheFile) {
  EXPECT_EQ(
      Read("[evaluator]\nkind = \"command\"\ncommand = \"x\"\nfolder = \"../programs\"").folder,
      "/programs");
}

TEST(EvaluatorConfig, MistakesAreNamedWithTheirLine) {
  EXPECT_THAT(
      ProblemWith("command = \"x {netwrok}\""),
      HasSubstr("s.toml:3: [evaluator] command: unknown {netwrok}; did you mean {network}?"));
  EXPECT_THAT(ProblemWith("command = \"x | y\""),
              HasSubstr("s.toml:3: [evaluator] command: no shell"));
  EXPECT_THAT(ProblemWith("command = \"x {onnx}\""), HasSubstr("{onnx} needs onnx = true"));
  EXPECT_THAT(ProblemWith("command = \" \""), HasSubstr("names no program"));
  EXPECT_THAT(ProblemWith("command = []"), HasSubstr("names no program"));
  EXPECT_THAT(ProblemWith("onnx = true"), HasSubstr("names no program"));
  EXPECT_THAT(ProblemWith("command = \"GPU=1 x\""), HasSubstr("'GPU=1', which is no program"));
  EXPECT_THAT(ProblemWith("command = \"x\\u0000y\""), HasSubstr("NUL"));
  EXPECT_THAT(ProblemWith("command = 3"), HasSubstr("command"));
  EXPECT_THAT(ProblemWith("command = \"x\"\nenvironment = { A = 3 }"), HasSubstr("A"));
  EXPECT_THAT(ProblemWith("command = \"x\"\nenvironment = { \"A=B\" = \"\" }"),
              HasSubstr("no name of an environment variable"));
  EXPECT_THAT(ProblemWith("comand = \"x\""), HasSubstr("did you mean 'command'"));
  for (const char* key : {"command = \"x\"", "onnx = true", "folder = \".\"", "environment = {}"}) {
    EXPECT_THAT(MessageOf(ErrorKind::kInput, [&] { Read(std::string("[evaluator]\n") + key); }),
                HasSubstr("with kind = \"command\" only"));
  }
}

}  // namespace
}  // namespace lathe::study
