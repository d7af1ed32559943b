#include "engine/backends/tensorrt/tensorrt_engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/file.h"
#include "base/temp_folder_testing.h"
#include "engine/backends/tensorrt/trtexec.h"
#include "engine/reference_testing.h"
#include "engine/timing.h"
#include "onnx/export.h"

namespace lathe::engine {
namespace {

using ::testing::HasSubstr;

const fs::path kRecorded = fs::path(LATHE_SOURCE_DIR) / "../shared/data/tensorrt-profiles";

#define SKIP_WITHOUT_RECORDED()                                                     \
  if (!fs::exists(kRecorded)) {                                                     \
    GTEST_SKIP() << "SKIPPED: no recorded trtexec files in " << kRecorded.string(); \
  }                                                                                 \
  static_assert(true)

// What trtexec itself printed for these runs, in the .metadata.json files beside them.
TEST(TrtexecFiles, RealTimesAgreeWithTrtexecsSummary) {
  SKIP_WITHOUT_RECORDED();
  const Timing titan = Summarise(ReadTimes(kRecorded / "titanrtx-mobilenetv2-int8-b1.timing.json"));
  EXPECT_GT(titan.runs, 1000);
  EXPECT_NEAR(titan.median_us, 258, 10);
  EXPECT_LE(titan.p10_us, titan.median_us);
}

TEST(TrtexecFiles, RealProfilesAreRead) {
  SKIP_WITHOUT_RECORDED();
  for (const char* name :
       {"titanrtx-mobilenetv2-int8-b1", "a100-resnet18-fp16-b32", "rtx3090-resnet50-fp32-b32"}) {
    const fs::path path = kRecorded / (std::string(name) + ".profile.json");
    const std::vector<NodeTime> nodes = ReadNodeTimes(path);
    EXPECT_GT(nodes.size(), 20u) << name;
    double sum_us = 0;
    for (const NodeTime& node : nodes) sum_us += node.median_us;
    EXPECT_GT(sum_us, 100) << name;
    EXPECT_LT(sum_us, 50000) << name;
    EXPECT_THROW(ReadProfile(path), Error) << "none of their layers is called as ours are";
  }
}

TEST(TrtexecFiles, ProfilesSumUpByLayer) {
  const TempFolder folder;
  WriteFileAtomically(folder / "profile.json", R"json([
  { "count" : 10 }
, { "name" : "Reformatting CopyNode for Input Tensor 0 to l00.conv + l00.conv.relu", "timeMs" : 0.1, "averageMs" : 0.01, "medianMs" : 0.009, "percentage" : 1 }
, { "name" : "l00.conv + l00.conv.relu", "timeMs" : 1, "averageMs" : 0.1, "medianMs" : 0.09, "percentage" : 9 }
, { "name" : "PWN(l01.expand.sigmoid, l01.expand.mul)", "timeMs" : 1, "averageMs" : 0.2, "percentage" : 9
}
, { "name" : "reshape_after_logits", "timeMs" : 1, "averageMs" : 0.05, "medianMs" : 0.05, "percentage" : 9 }
])json");
  const std::vector<LayerTime> layers = ReadProfile(folder / "profile.json");
  ASSERT_EQ(layers.size(), 2u);
  EXPECT_NEAR(layers[0].median_us, 99, 1e-9);
  EXPECT_EQ(layers[1].layer, 1);
  EXPECT_NEAR(layers[1].median_us, 250, 1e-9);
}

TEST(TrtexecFiles, BrokenFilesAreNamed) {
  const TempFolder folder;
  for (const char* text : {"", "{}", "[{}]", "[1, 2]", "[{\"latencyMs\": \"x\"}]", "[]"}) {
    WriteFileAtomically(folder / "times.json", text);
    ExpectError(ErrorKind::kInput, "times.json", [&] { ReadTimes(folder / "times.json"); });
  }
}

// A stand-in for trtexec, first on PATH: answers in trtexec's formats and keeps its arguments. Its
// logits are the number of each image in its batch.
class TensorRtEngineTest : public testing::Test {
 protected:
  TensorRtEngineTest() : path_(getenv("PATH")) {
    WriteFileAtomically(folder_ / "trtexec", R"sh(#!/bin/sh
folder="$(dirname "$0")"
echo "$@" >> "$folder/arguments"
echo "&&&& RUNNING TensorRT.trtexec [TensorRT v8601] # $*"
echo "[11/23/2026-10:00:00] [I] Selected Device: NVIDIA Stand-in"
for argument in "$@"; do
  value="${argument#*=}"
  case "$argument" in
    --onnx=*) test -s "$value" || exit 3 ;;
    --saveEngine=*) echo plan > "$value" ;;
    --loadEngine=*) test -s "$value" || exit 4 ;;
    --exportTimes=*)
      echo '[{ "latencyMs" : 0.5 }, { "latencyMs" : 0.25 }, { "latencyMs" : 0.75 }]' > "$value" ;;
    --exportProfile=*)
      echo '[{ "count" : 3 }, { "name" : "l00.conv", "medianMs" : 0.125 }]' > "$value" ;;
    --loadInputs=*) images=$(( $(wc -c < "${value#*:}") / 4 / 864 )) ;;
    --exportOutput=*)
      logits=$(for i in $(seq "$images"); do printf '%s, ' $i $i $i $i $i $i $i; done)
      echo "[ { \"name\" : \"logits\", \"values\" : [ ${logits%, } ] } ]" > "$value" ;;
  esac
done
if [ -e "$folder/fail" ]; then echo "out of memory"; exit 1; fi
)sh");
    fs::permissions(folder_ / "trtexec", fs::perms::owner_all);
    setenv("PATH", (folder_.path().string() + ":" + path_).c_str(), 1);
  }
  ~TensorRtEngineTest() override { setenv("PATH", path_.c_str(), 1); }

  std::string Arguments() const { return ReadFile(folder_ / "arguments"); }

  TempFolder folder_;
  std::string path_;
  net::Network network_ = EveryOpNetwork();
  net::Weights weights_ = BusyWeights(network_, 1);
};

TEST_F(TensorRtEngineTest, TimesProfilesAndRuns) {
  const std::unique_ptr<Engine> engine =
      MakeTensorRtEngine({.batch = 4, .precision = Precision::kF16, .device = "GPU:1"});
  const std::unique_ptr<CompiledModel> model =
      engine->Compile(network_, weights_, {.profile = true});
  EXPECT_THAT(Arguments(), HasSubstr("--fp16"));
  EXPECT_THAT(Arguments(), HasSubstr("--device=1"));
  const Timing timing = model->Time({.warmup = 1, .min_runs = 70, .min_seconds = 0.3});
  EXPECT_DOUBLE_EQ(timing.median_us, 500);
  EXPECT_EQ(timing.runs, 3);
  EXPECT_THAT(Arguments(), HasSubstr("--iterations=70 --duration=1"));
  ASSERT_EQ(model->Profile({}).size(), 1u);
  EXPECT_DOUBLE_EQ(model->Profile({})[0].median_us, 125);
  // Six images in batches of four.
  const std::vector<float> logits = model->Run(RandomImages(network_, 6, 1), 6);
  ASSERT_EQ(logits.size(), 42u);
  const float firsts[] = {1, 2, 3, 4, 1, 2};
  for (size_t i = 0; i < logits.size(); ++i) {
    EXPECT_EQ(logits[i], firsts[i / 7]) << i;
  }
}

TEST_F(TensorRtEngineTest, FingerprintComesFromTheDevice) {
  const Fingerprint target = MakeTensorRtEngine({.device = "GPU"})->Target();
  EXPECT_EQ(target.engine, "tensorrt");
  EXPECT_EQ(target.engine_version, "8601");
  EXPECT_EQ(target.device_name, "NVIDIA Stand-in");
}

TEST_F(TensorRtEngineTest, LoadsExportedFiles) {
  onnx::ExportOnnx(folder_ / "fixed.onnx", network_, weights_, {.batch = 2});
  onnx::ExportOnnx(folder_ / "dynamic.onnx", network_, weights_, {.batch = 0});
  const std::unique_ptr<Engine> engine = MakeTensorRtEngine({.device = "GPU"});
  ExpectError(ErrorKind::kInput, "batch 2", [&] { engine->Load(folder_ / "fixed.onnx"); });
  EXPECT_THAT(Arguments(), testing::Not(HasSubstr("--shapes")));
  engine->Load(folder_ / "dynamic.onnx");
  EXPECT_THAT(Arguments(), HasSubstr("--shapes=image:1x3x18x16"));
}

TEST_F(TensorRtEngineTest, FailuresSayWhy) {
  ExpectError(ErrorKind::kUnavailable, "'CPU'", [] { MakeTensorRtEngine({}); });
  ExpectError(ErrorKind::kUnavailable, "'GPU:x'", [] { MakeTensorRtEngine({.device = "GPU:x"}); });
  const std::unique_ptr<Engine> engine =
      MakeTensorRtEngine({.precision = Precision::kInt8, .device = "GPU"});
  ExpectError(ErrorKind::kInput, "quantised", [&] { engine->Compile(network_, weights_, {}); });
  WriteFileAtomically(folder_ / "fail", "");
  ExpectError(ErrorKind::kInternal, "out of memory", [] { MakeTensorRtEngine({.device = "GPU"}); });
  setenv("PATH", "/nowhere", 1);
  ExpectError(ErrorKind::kUnavailable, "trtexec", [] { MakeTensorRtEngine({.device = "GPU"}); });
}

}  // namespace
}  // namespace lathe::engine
