#include "engine/backends/tensorrt/tensorrt_engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <onnx/checker.h>
#include <onnx/onnx_pb.h>
#include <onnx/shape_inference/implementation.h>
#include <stdlib.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <tuple>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/temp_folder_testing.h"
#include "engine/backends/tensorrt/trtexec.h"
#include "engine/reference_testing.h"
#include "engine/timing.h"
#include "onnx/export.h"
#include "onnx/half.h"

namespace lathe::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

const fs::path kRecorded = fs::path(LATHE_SOURCE_DIR) / "../shared/data/tensorrt-profiles";

#define SKIP_WITHOUT_RECORDED()                                                     \
  if (!fs::exists(kRecorded)) {                                                     \
    GTEST_SKIP() << "SKIPPED: no recorded trtexec files in " << kRecorded.string(); \
  }                                                                                 \
  static_assert(true)

// What trtexec itself printed for these runs, in the .metadata.json files beside them.
TEST(TrtexecFiles, RealTimesAgreeWithTrtexecsSummary) {
  SKIP_WITHOUT_RECORDED();
  for (const std::string name :
       {"titanrtx-mobilenetv2-int8-b1", "a100-resnet18-fp16-b32", "rtx3090-resnet50-fp32-b32"}) {
    const std::vector<double> times_us = ReadTimes(kRecorded / (name + ".timing.json"));
    const nlohmann::json summary =
        nlohmann::json::parse(ReadFile(kRecorded / (name + ".profile.metadata.json")));
    const std::vector<double> expected_ms =
        summary.at("performance_summary").at("GPU Compute Time");  // min, max, mean, median, ...
    const double rounding_us = 0.0011 * expected_ms[3];            // printed with six digits
    EXPECT_NEAR(*std::ranges::min_element(times_us), expected_ms[0] * 1e3, rounding_us) << name;
    EXPECT_NEAR(*std::ranges::max_element(times_us), expected_ms[1] * 1e3, rounding_us) << name;
    EXPECT_NEAR(std::reduce(times_us.begin(), times_us.end()) / double(times_us.size()),
                expected_ms[2] * 1e3, rounding_us)
        << name;
    EXPECT_NEAR(Summarise(times_us).median_us, expected_ms[3] * 1e3, rounding_us) << name;
  }
}

TEST(TrtexecFiles, TimesAreThoseOfTheGpuAfterTheWarmUp) {
  const TempFolder folder;
  const fs::path path = folder / "times.json";
  WriteFileAtomically(path, R"json([
  { "startComputeMs" : 199.9, "computeMs" : 9, "latencyMs" : 9 }
, { "startComputeMs" : 200.1, "computeMs" : 0.5, "latencyMs" : 2 }
, { "startComputeMs" : 201, "computeMs" : 0.25, "latencyMs" : 2 } ])json");
  EXPECT_THAT(ReadTimes(path), ElementsAre(500, 250));
  WriteFileAtomically(path, R"json([ { "latencyMs" : 2 }, { "latencyMs" : 3 } ])json");
  EXPECT_THAT(ReadTimes(path), ElementsAre(2000, 3000));
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
    EXPECT_THROW(ReadProfile(path, net::Lower(EveryOpNetwork())), Error)
        << "none of their layers is called as ours are";
  }
}

TEST(TrtexecFiles, ProfilesSumUpByLayer) {
  const TempFolder folder;
  WriteFileAtomically(folder / "profile.json", R"json([
  { "count" : 10 }
, { "name" : "Reformatting CopyNode for Input Tensor 0 to l00.conv + l00.conv.relu", "timeMs" : 0.1, "averageMs" : 0.01, "medianMs" : 0.009, "percentage" : 1 }
, { "name" : "l00.conv + l00.conv.relu", "timeMs" : 1, "averageMs" : 0.1, "medianMs" : 0.09, "percentage" : 9 }
, { "name" : "PWN(l01.conv.sigmoid, l01.conv.mul)", "timeMs" : 1, "averageMs" : 0.2, "percentage" : 9
}
, { "name" : "reshape_after_logits", "timeMs" : 1, "averageMs" : 0.05, "medianMs" : 0.05, "percentage" : 9 }
])json");
  net::Network network{.name = "two", .input = {3, 8, 8}, .layers = {}};
  network.layers.push_back({.op = net::Op::kConv, .in = network.input, .out_channels = 4});
  network.layers.push_back(
      {.op = net::Op::kTail, .in = {4, 8, 8}, .out_channels = 5, .mid_channels = 8});
  const std::vector<LayerTime> layers = ReadProfile(folder / "profile.json", net::Lower(network));
  ASSERT_EQ(layers.size(), 2u);
  EXPECT_NEAR(layers[0].median_us, 99, 1e-9);
  EXPECT_EQ(layers[1].layer, 1);
  EXPECT_NEAR(layers[1].median_us, 250, 1e-9);
  ASSERT_EQ(layers[1].node_us.size(), 3u) << "convolution, pool, classifier";
  EXPECT_NEAR(layers[1].node_us[0], 250, 1e-9);
  EXPECT_NEAR(layers[1].node_us[1], 0, 1e-9) << "fused into another";
}

TEST(TrtexecFiles, BrokenTimesAreNamed) {
  const TempFolder folder;
  const std::pair<const char*, const char*> kCases[] = {
      {"", "empty"},
      {"{}", "not a list"},
      {"[]", "no runs"},
      {"nonsense", "parse error"},
      {"[1, 2]", "entry 1: not an object"},
      {"[{}]", "entry 1: no 'latencyMs'"},
      {R"([{"latencyMs": "x"}])", "'latencyMs' is \"x\""},
      {R"([{"latencyMs": null}])", "'latencyMs' is null"},
      {R"([{"computeMs": 1}, {"computeMs": -0.1}])", "entry 2: 'computeMs' is -0.1"},
      {R"([{"computeMs": 1}, {"computeMs": 0}])", "entry 2: a run took no time"},
      {R"([{"computeMs": 1e999}])", "overflow"},
      {R"([{"computeMs": nan}])", "parse error"},
      {R"([{"computeMs": 1}, {"comp)", "parse error"},
      {R"([{"computeMs": 1}, {"startComputeMs": 250}])", "entry 2: no 'latencyMs'"},
      {R"([{"computeMs": 1, "startComputeMs": 1}])", "no runs in it after the warm-up"},
  };
  for (const auto& [text, message] : kCases) {
    WriteFileAtomically(folder / "times.json", text);
    ExpectError(ErrorKind::kInput, message, [&] { ReadTimes(folder / "times.json"); });
    ExpectError(ErrorKind::kInput, "times.json", [&] { ReadTimes(folder / "times.json"); });
  }
}

TEST(TrtexecFiles, BrokenProfilesAndOutputsAreNamed) {
  const TempFolder folder;
  const std::pair<const char*, const char*> kProfiles[] = {
      {"", "empty"},
      {R"([{ "count" : 3 }])", "no nodes"},
      {R"([{ "name" : "l00.conv" }])", "no 'averageMs'"},
      {R"([{ "medianMs" : 1 }])", "'name'"},
      {R"([{ "name" : "l00.conv", "medianMs" : -1 }])", "'medianMs' is -1"},
      {R"([{ "name" : "l00.conv", "medianMs" : inf }])", "parse error"},
      {R"([{ "name" : "l00.conv", "medianMs" : 0 }, { "name" : "l01.conv", "medianMs" : 1 }])",
       "layer 0 took no time"},
  };
  for (const auto& [text, message] : kProfiles) {
    WriteFileAtomically(folder / "profile.json", text);
    ExpectError(ErrorKind::kInput, message,
                [&] { ReadProfile(folder / "profile.json", net::Lower(EveryOpNetwork())); });
  }
  const std::pair<const char*, const char*> kOutputs[] = {
      {R"([{ "name" : "logits", "values" : [ 1, nan ] }])", "parse error"},
      {R"([{ "name" : "logits", "values" : [] }])", "no output 'logits'"},
      {R"([{ "name" : "other", "values" : [ 1 ] }])", "no output 'logits'"},
      {R"([{ "name" : "logits" }])", "'values'"},
  };
  for (const auto& [text, message] : kOutputs) {
    WriteFileAtomically(folder / "output.json", text);
    ExpectError(ErrorKind::kInput, message, [&] { ReadOutput(folder / "output.json", "logits"); });
  }
}

TEST(Half, TypesFitTogetherAndWeightsAreRounded) {
  const net::Network network = EveryOpNetwork();
  const std::string bytes =
      onnx::ToHalf(onnx::ToOnnx(network, BusyWeights(network, 1), {.batch = 2}), "every-op");
  ::onnx::ModelProto model;
  ASSERT_TRUE(model.ParseFromString(bytes));
  ::onnx::checker::check_model(model);
  // Throws when an operation gets inputs of different types.
  const ::onnx::ShapeInferenceOptions strict(/*check_type=*/true, /*strict_mode=*/1);
  ::onnx::shape_inference::InferShapes(model, ::onnx::OpSchemaRegistry::Instance(), strict);
  EXPECT_EQ(model.graph().input(0).type().tensor_type().elem_type(), ::onnx::TensorProto::FLOAT);
  EXPECT_EQ(model.graph().output(0).type().tensor_type().elem_type(), ::onnx::TensorProto::FLOAT);
  int halves = 0;
  for (const ::onnx::ValueInfoProto& value : model.graph().value_info()) {
    EXPECT_EQ(value.type().tensor_type().elem_type(), ::onnx::TensorProto::FLOAT16) << value.name();
    ++halves;
  }
  EXPECT_GT(halves, 30);
  for (const ::onnx::TensorProto& tensor : model.graph().initializer()) {
    EXPECT_EQ(tensor.data_type(), ::onnx::TensorProto::FLOAT16) << tensor.name();
  }
}

TEST(Half, RefusesWhatDoesNotFit) {
  const net::Network network = EveryOpNetwork();
  net::Weights weights = BusyWeights(network, 1);
  for (auto& [name, tensor] : weights.tensors) {
    if (name.ends_with("bias")) tensor.values[0] = 1e6f;
  }
  ExpectError(ErrorKind::kInput, "too large for f16",
              [&] { onnx::ToHalf(onnx::ToOnnx(network, weights), "network"); });
  ExpectError(ErrorKind::kInput, "file.onnx", [] { onnx::ToHalf("nonsense", "file.onnx"); });
}

// A stand-in for trtexec, first on PATH: answers in trtexec's formats and keeps its arguments. Its
// logits are the number of each image in its batch. Files beside it change what it does: `version`
// it claims, `mode` in which it goes wrong, `times.json` and `profile.json` it answers with.
constexpr const char* kStandIn = R"sh(#!/bin/sh
folder="$(dirname "$0")"
mode="$(cat "$folder/mode" 2>/dev/null)"
version="$(cat "$folder/version" 2>/dev/null || echo 8601)"
answer() {  # answer FILE DEFAULT: to the file that $value names
  text="$(cat "$folder/$1" 2>/dev/null || echo "$2")"
  case "$mode" in
    missing) ;;
    empty) : > "$value" ;;
    cut) printf '%.10s' "$text" > "$value" ;;
    *) echo "$text" > "$value" ;;
  esac
}
echo "$@" >> "$folder/arguments"
if [ "$mode" = nonsense ]; then printf 'gl\033[31mp\n'; else
  echo "&&&& RUNNING TensorRT.trtexec [TensorRT v$version] # $*"
  echo "[11/23/2026-10:00:00] [I] Selected Device: NVIDIA Stand-in"
  echo "[11/23/2026-10:00:00] [I] Selected Device ID: 0"
fi
for argument in "$@"; do
  value="${argument#*=}"
  case "$argument" in
    --onnx=*) test -s "$value" || exit 3; cp "$value" "$folder/built.onnx" ;;
    --saveEngine=*) answer plan plan ;;
    --loadEngine=*) test -s "$value" || exit 4 ;;
    --timingCacheFile=*)
      if grep -qs broken "$value"; then echo "TimingCache creation failed"; exit 1; fi
      echo timings >> "$value" ;;
    --fp16 | --bf16 | --int8)
      if [ "${version%.*.*}" -ge 110000 ]; then echo "[E] Unknown option: $argument"; exit 1; fi ;;
    --exportTimes=*)
      answer times.json '[{ "computeMs" : 0.5 }, { "computeMs" : 0.25 }, { "computeMs" : 0.75 }]' ;;
    --exportProfile=*)
      answer profile.json '[{ "count" : 3 }, { "name" : "l00.conv", "medianMs" : 0.125 }]' ;;
    --loadInputs=*) images=$(( $(wc -c < "${value#*:}") / 4 / 864 )) ;;
    --exportOutput=*)
      logits=$(for i in $(seq "$images"); do printf '%s, ' $i $i $i $i $i $i $i; done)
      answer output.json "[ { \"name\" : \"logits\", \"values\" : [ ${logits%, } ] } ]" ;;
  esac
done
case "$mode" in
  fail) echo "out of memory"; exit 1 ;;
  no-graph) echo "[W] The specified --useCudaGraph flag has been ignored. The inference will be" ;;
  killed) echo "half-way"; kill -9 $$ ;;
esac
)sh";

class TensorRtEngineTest : public testing::Test {
 protected:
  TensorRtEngineTest() : path_(getenv("PATH")) {
    WriteFileAtomically(folder_ / "trtexec", kStandIn);
    fs::permissions(folder_ / "trtexec", fs::perms::owner_all);
    setenv("PATH", (folder_.path().string() + ":" + path_).c_str(), 1);
    setenv("XDG_CACHE_HOME", (folder_ / "cache").c_str(), 1);
  }
  ~TensorRtEngineTest() override {
    setenv("PATH", path_.c_str(), 1);
    unsetenv("XDG_CACHE_HOME");
  }

  void Set(const char* file, std::string_view text) const {
    WriteFileAtomically(folder_ / file, text);
  }
  std::string Arguments() const { return ReadFile(folder_ / "arguments"); }
  // The timing caches there are.
  std::vector<fs::path> Caches() const {
    std::vector<fs::path> caches;
    if (!fs::exists(folder_ / "cache/lathe")) return caches;
    for (const auto& entry : fs::directory_iterator(folder_ / "cache/lathe")) {
      caches.push_back(entry.path());
    }
    return caches;
  }

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
  EXPECT_THAT(Arguments(), Not(HasSubstr("--shapes")));
  engine->Load(folder_ / "dynamic.onnx");
  EXPECT_THAT(Arguments(), HasSubstr("--shapes=image:1x3x18x16"));
}

TEST_F(TensorRtEngineTest, BuildsShareATimingCacheOfTheirVersionAndGpu) {
  const std::unique_ptr<Engine> engine = MakeTensorRtEngine({.device = "GPU"});
  EXPECT_THAT(Caches(), ElementsAre()) << "its name is known after the first build only";
  engine->Compile(network_, weights_, {});
  ASSERT_EQ(Caches().size(), 1u);
  const fs::path cache = Caches()[0];
  EXPECT_THAT(cache.filename().string(), HasSubstr("tensorrt-8601-NVIDIA-Stand-in-"));
  MakeTensorRtEngine({.device = "GPU"})->Compile(network_, weights_, {});
  EXPECT_EQ(ReadFile(cache), "timings\ntimings\n");
  Set("version", "101303");
  MakeTensorRtEngine({.device = "GPU"})->Compile(network_, weights_, {});
  EXPECT_EQ(Caches().size(), 2u);
  EXPECT_EQ(ReadFile(cache), "timings\ntimings\n");
}

TEST_F(TensorRtEngineTest, ABrokenTimingCacheEndsNoRun) {
  const std::unique_ptr<Engine> engine = MakeTensorRtEngine({.device = "GPU"});
  engine->Compile(network_, weights_, {});
  const fs::path cache = Caches().at(0);
  WriteFileAtomically(cache, "broken");
  EXPECT_EQ(engine->Compile(network_, weights_, {})->Time({}).runs, 3);
  EXPECT_FALSE(fs::exists(cache));
  engine->Compile(network_, weights_, {});
  EXPECT_EQ(ReadFile(cache), "timings\n");
  // A build that fails either way leaves the cache alone, and the error is not about it.
  Set("mode", "fail");
  ExpectError(ErrorKind::kInternal, "out of memory",
              [&] { engine->Compile(network_, weights_, {}); });
  EXPECT_TRUE(fs::exists(cache));
}

TEST_F(TensorRtEngineTest, WithoutACacheFolderBuildsGoOn) {
  Set("file", "");
  // Below a file there can be no folder, not even root's.
  setenv("XDG_CACHE_HOME", (folder_ / "file").c_str(), 1);
  MakeTensorRtEngine({.device = "GPU"})->Compile(network_, weights_, {});
  EXPECT_THAT(Arguments(), Not(HasSubstr("--timingCacheFile")));
  // A relative one does not count.
  setenv("XDG_CACHE_HOME", "relative", 1);
  const std::string home = getenv("HOME") == nullptr ? "" : getenv("HOME");
  setenv("HOME", folder_.path().c_str(), 1);
  MakeTensorRtEngine({.device = "GPU"})->Compile(network_, weights_, {});
  setenv("HOME", home.c_str(), 1);
  EXPECT_THAT(Arguments(), HasSubstr("--timingCacheFile=" + (folder_ / ".cache/lathe/").string()));
}

TEST_F(TensorRtEngineTest, PrecisionsAreAskedForAsTheVersionWantsThem) {
  const auto flags = [&](const char* version, Precision precision) {
    Set("version", version);
    fs::remove(folder_ / "arguments");
    const auto engine = MakeTensorRtEngine({.precision = precision, .device = "GPU"});
    engine->Compile(network_, weights_, {});
    return Arguments();
  };
  for (const char* version : {"8601", "100600", "101303"}) {
    EXPECT_THAT(flags(version, Precision::kF32), HasSubstr("--noTF32"));
    EXPECT_THAT(flags(version, Precision::kF16), HasSubstr("--fp16"));
  }
  EXPECT_THAT(flags("100600", Precision::kBf16), HasSubstr("--bf16"));
  ExpectError(ErrorKind::kUnavailable, "precision bf16 is not available with TensorRT 8601",
              [&] { flags("8601", Precision::kBf16); });
  // From 11 on trtexec refuses the flags, and the types are in the file.
  const auto weight_type = [&] {
    ::onnx::ModelProto model;
    model.ParseFromString(ReadFile(folder_ / "built.onnx"));
    return model.graph().initializer(0).data_type();
  };
  EXPECT_THAT(flags("110100", Precision::kF32), HasSubstr("--noTF32"));
  EXPECT_EQ(weight_type(), ::onnx::TensorProto::FLOAT);
  EXPECT_THAT(flags("110100", Precision::kF16), Not(HasSubstr("--fp16")));
  EXPECT_EQ(weight_type(), ::onnx::TensorProto::FLOAT16);
  ExpectError(ErrorKind::kUnavailable, "bf16", [&] { flags("110100", Precision::kBf16); });
  MakeTensorRtEngine({.precision = Precision::kInt8, .device = "GPU"});
}

TEST_F(TensorRtEngineTest, TimesWithoutACudaGraphAreWarnedOf) {
  const std::unique_ptr<CompiledModel> model =
      MakeTensorRtEngine({.device = "GPU"})->Compile(network_, weights_, {});
  const auto output = [&] {
    testing::internal::CaptureStdout();
    EXPECT_EQ(model->Time({}).runs, 3);
    spdlog::default_logger()->flush();
    return testing::internal::GetCapturedStdout();
  };
  EXPECT_THAT(output(), Not(HasSubstr("CUDA graph")));
  Set("mode", "no-graph");
  EXPECT_THAT(output(), HasSubstr("could not use a CUDA graph"));
}

TEST_F(TensorRtEngineTest, FailuresHalfWayAreNamed) {
  const std::unique_ptr<Engine> engine = MakeTensorRtEngine({.device = "GPU"});
  const std::unique_ptr<CompiledModel> model =
      engine->Compile(network_, weights_, {.profile = true});
  EXPECT_EQ(model->Time({}).runs, 3);
  const std::vector<float> image = RandomImages(network_, 1, 1);
  const std::tuple<const char*, const char*, const char*> kCases[] = {
      {"fail", "trtexec failed (exit code 1)", "out of memory"},
      {"killed", "killed by signal 9 (SIGKILL)", "half-way"},
      {"missing", "did not write", "Stand-in"},  // although an earlier call did
      {"empty", "left this file empty", "Stand-in"},
      {"cut", "not what trtexec writes", "Stand-in"},
  };
  const auto expect = [&](const char* mode, const std::vector<const char*>& messages,
                          const std::function<void()>& action) {
    Set("mode", mode);
    for (const char* message : messages) ExpectError(ErrorKind::kInternal, message, action);
  };
  for (const auto& [mode, failure, last_line] : kCases) {
    expect(mode, {failure, last_line, "command: trtexec --useCudaGraph"}, [&] { model->Time({}); });
    expect(mode, {failure, last_line, "--exportProfile="}, [&] { model->Profile({}); });
    expect(mode, {failure, last_line, "--exportOutput="}, [&] { model->Run(image, 1); });
    if (mode == std::string("cut")) continue;  // what is in a plan is TensorRT's affair
    expect(mode, {failure, last_line, "command: trtexec --onnx="},
           [&] { engine->Compile(network_, weights_, {}); });
  }
  Set("mode", "");
  EXPECT_EQ(model->Time({}).runs, 3);
}

TEST_F(TensorRtEngineTest, NonsenseIsNotUsed) {
  const std::unique_ptr<CompiledModel> model =
      MakeTensorRtEngine({.device = "GPU"})->Compile(network_, weights_, {.profile = true});
  Set("times.json", R"json([ { "computeMs" : 0.5 }, { "computeMs" : -3 } ])json");
  ExpectError(ErrorKind::kInternal, "times.json", [&] { model->Time({}); });
  ExpectError(ErrorKind::kInternal, "entry 2: 'computeMs' is -3", [&] { model->Time({}); });
  ExpectError(ErrorKind::kInternal, "--exportTimes", [&] { model->Time({}); });
  Set("profile.json", R"json([ { "name" : "Conv_0", "medianMs" : 1 } ])json");
  ExpectError(ErrorKind::kInternal, "names no layer", [&] { model->Profile({}); });
  Set("output.json", R"json([ { "name" : "logits", "values" : [ 1, 2 ] } ])json");
  ExpectError(ErrorKind::kInternal, "2 logits instead of 7",
              [&] { model->Run(RandomImages(network_, 1, 1), 1); });
  Set("mode", "nonsense");
  ExpectError(ErrorKind::kUnavailable, "named no version of TensorRT",
              [] { MakeTensorRtEngine({.device = "GPU"}); });
  ExpectError(ErrorKind::kUnavailable, "gl?[31mp", [] { MakeTensorRtEngine({.device = "GPU"}); });
}

TEST_F(TensorRtEngineTest, FailuresSayWhy) {
  ExpectError(ErrorKind::kUnavailable, "'CPU'", [] { MakeTensorRtEngine({}); });
  ExpectError(ErrorKind::kUnavailable, "'GPU:x'", [] { MakeTensorRtEngine({.device = "GPU:x"}); });
  const std::unique_ptr<Engine> engine =
      MakeTensorRtEngine({.precision = Precision::kInt8, .device = "GPU"});
  ExpectError(ErrorKind::kInput, "quantised", [&] { engine->Compile(network_, weights_, {}); });
  Set("mode", "fail");
  ExpectError(ErrorKind::kInternal, "out of memory", [] { MakeTensorRtEngine({.device = "GPU"}); });
  setenv("PATH", "/nowhere", 1);
  ExpectError(ErrorKind::kUnavailable, "trtexec", [] { MakeTensorRtEngine({.device = "GPU"}); });
}

}  // namespace
}  // namespace lathe::engine
