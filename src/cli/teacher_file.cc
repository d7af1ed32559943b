#include "cli/teacher_file.h"

#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "cli/common.h"
#include "net/network_file.h"
#include "onnx/export.h"

namespace lathe::cli {
namespace {

void CheckSquare(const std::string& teacher, int h, int w) {
  if (h == w) return;
  throw Error(ErrorKind::kInput, "{}: takes images of {} x {}; a teacher must take square ones",
              teacher, h, w);
}

std::shared_ptr<train::Teacher> FromOnnx(const std::string& path, const StudentData& student,
                                         int threads) {
  const auto engine = MakeEngine("openvino", {.threads = threads});
  std::unique_ptr<engine::CompiledModel> model = engine->Load(path);
  data::Preprocessing preprocessing = student.preprocessing;
  const onnx::FileForm form = onnx::ReadForm(path);
  if (form.pixels || form.softmax) {
    throw Error(ErrorKind::kInput,
                "{}: a teacher takes normalised images and gives logits; export it without "
                "--pixels and --softmax",
                path);
  }
  const std::vector<int>& shape = form.lengths;  // {n, c, h, w}: Load() checked it
  CheckSquare(path, shape[2], shape[3]);
  preprocessing.channels = shape[1];
  preprocessing.resolution = shape[2];
  return train::MakeTeacher(std::move(model), preprocessing);
}

std::shared_ptr<train::Teacher> FromWeights(const train::Distillation& distillation,
                                            const StudentData& student, int threads) {
  if (distillation.weights.empty()) {
    throw Error(ErrorKind::kInput,
                "distillation: teacher {} is a network, so `weights` (safetensors) is needed",
                distillation.teacher);
  }
  const net::Network network = net::ReadNetwork(distillation.teacher);
  CheckSquare(distillation.teacher, network.input.h, network.input.w);
  const net::Weights weights = net::ReadSafetensors(distillation.weights);
  data::Preprocessing preprocessing =
      StoredPreprocessing(weights, distillation.weights).value_or(student.preprocessing);
  preprocessing.resolution = network.input.h;
  return train::MakeTeacher(network, weights, preprocessing, threads);
}

}  // namespace

std::shared_ptr<train::Teacher> LoadTeacher(const train::Distillation& distillation,
                                            const StudentData& student, int threads) {
  if (distillation.teacher.empty()) return nullptr;
  if (!fs::exists(distillation.teacher)) {
    throw Error(ErrorKind::kInput, "distillation: there is no teacher {}", distillation.teacher);
  }
  const bool onnx = fs::path(distillation.teacher).extension() == ".onnx";
  std::shared_ptr<train::Teacher> teacher = onnx ? FromOnnx(distillation.teacher, student, threads)
                                                 : FromWeights(distillation, student, threads);
  const data::Preprocessing& wanted = teacher->preprocessing();
  if (wanted.channels != student.preprocessing.channels) {
    throw Error(ErrorKind::kInput, "{}: the teacher sees {} channels, the student {}",
                distillation.teacher, wanted.channels, student.preprocessing.channels);
  }
  const auto side = static_cast<size_t>(wanted.resolution);
  const std::vector<float> image(side * side * static_cast<size_t>(wanted.channels));
  const auto classes = std::ssize(teacher->Logits(image, 1));
  if (classes != student.classes) {
    throw Error(ErrorKind::kInput, "{}: the teacher knows {} classes, the student {}",
                distillation.teacher, classes, student.classes);
  }
  return teacher;
}

}  // namespace lathe::cli
