#include "cli/net_classify.h"

#include <algorithm>
#include <filesystem>
#include <numeric>

#include "base/error.h"
#include "base/log.h"
#include "base/table.h"
#include "data/loader.h"
#include "data/pictures.h"
#include "data/preprocessing_file.h"
#include "deploy/package.h"
#include "deploy/verify.h"
#include "onnx/export.h"

namespace lathe::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct ClassifyFlags {
  std::string model;
  std::vector<std::string> pictures;
  int top = 1;
  TargetFlags target;
};

// What a file knows of itself.
struct ExportedFile {
  fs::path path;
  onnx::FileForm form;
  data::Preprocessing preprocessing;
  std::vector<std::string> classes;  // may be empty
};

ExportedFile ReadExported(const std::string& given, engine::Precision precision) {
  ExportedFile file{.path = given, .form = {}, .preprocessing = {}, .classes = {}};
  if (fs::is_directory(file.path)) {
    file.path /= precision == engine::Precision::kInt8 ? deploy::kInt8File : deploy::kModelFile;
  }
  const std::map<std::string, std::string> metadata = onnx::ReadMetadata(file.path);
  const auto preprocessing = metadata.find("lathe.preprocessing");
  if (preprocessing == metadata.end()) {
    throw Error(ErrorKind::kInput,
                "{}: does not say how pictures are prepared for it; only files that Lathe exported "
                "after training do",
                file.path.string());
  }
  file.preprocessing = data::ParsePreprocessing(preprocessing->second, file.path.string());
  file.form = onnx::ReadForm(file.path);
  if (const auto classes = metadata.find("lathe.classes"); classes != metadata.end()) {
    try {
      file.classes = Json::parse(classes->second).get<std::vector<std::string>>();
    } catch (const Json::exception& error) {
      throw Error(ErrorKind::kInput, "{}: its class names are damaged: {}", file.path.string(),
                  error.what());
    }
  }
  return file;
}

std::string NameOf(const ExportedFile& file, size_t index) {
  return index < file.classes.size() ? file.classes[index] : fmt::format("class {}", index);
}

int Classify(const Globals& globals, const ClassifyFlags& flags) {
  const auto engine = flags.target.Make();
  const ExportedFile file = ReadExported(flags.model, flags.target.Options().precision);
  const auto model = engine->Load(file.path.string());
  const auto pictures = data::OpenPictures({flags.pictures.begin(), flags.pictures.end()},
                                           file.preprocessing.channels);
  data::Loader loader(pictures,
                      {.preprocessing = file.preprocessing, .augmentation = {}, .batch = 32});
  Json answers = Json::array();
  std::vector<std::vector<std::string>> rows = {{"picture", "class", "probability"}};
  data::Batch batch;
  for (int64_t index = 0; loader.Next(batch);) {
    std::vector<float> outputs =
        deploy::Run({.model = model.get(), .form = file.form}, batch, file.preprocessing);
    const size_t classes = outputs.size() / static_cast<size_t>(batch.count);
    for (size_t i = 0; i < static_cast<size_t>(batch.count); ++i, ++index) {
      const std::span<float> shares(&outputs[i * classes], classes);
      if (!file.form.softmax) deploy::ToProbabilities(shares);
      std::vector<size_t> order(classes);
      std::iota(order.begin(), order.end(), size_t{0});
      std::ranges::stable_sort(order, std::greater(), [&](size_t c) { return shares[c]; });
      order.resize(std::min(classes, static_cast<size_t>(flags.top)));
      Json best = Json::array();
      for (const size_t c : order) {
        best.push_back({{"class", NameOf(file, c)}, {"index", c}, {"probability", shares[c]}});
        rows.push_back({pictures->Name(index), NameOf(file, c), FormatPercent(shares[c])});
      }
      answers.push_back({{"picture", pictures->Name(index)}, {"classes", best}});
    }
  }
  globals.json ? PrintJson(answers) : PrintText(FormatTable(rows));
  return 0;
}

}  // namespace

void AddNetClassifyCommand(CLI::App& net_command, const Globals& globals, Action& action) {
  auto flags = std::make_shared<ClassifyFlags>();
  CLI::App* command = net_command.add_subcommand("classify", "Say what is on pictures");
  command->add_option("model", flags->model, "Folder of a finalist, or an exported ONNX file")
      ->required();
  command->add_option("pictures", flags->pictures, "JPEG or PNG files")->required();
  command->add_option("--top", flags->top, "How many classes to name for each picture")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  flags->target.AddTo(*command);
  command->callback([&globals, &action, flags] {
    action = [&globals, flags] { return Classify(globals, *flags); };
  });
}

}  // namespace lathe::cli
