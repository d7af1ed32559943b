#include "cli/job_file.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"

namespace lathe::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kJobVersion = 1;

std::string Dump(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Json NamesOf(const data::Dataset& images) {
  Json names = Json::array();
  for (int64_t i = 0; i < images.size(); ++i) names.push_back(images.Name(i));
  return names;
}

Json ToJson(const Config& table) {
  Json json = Json::object();
  for (const std::string& key : table.Keys()) {
    switch (table.TypeOf(key)) {
      case Config::Type::kTable:
        json[key] = ToJson(table.Table(key));
        break;
      case Config::Type::kBool:
        json[key] = table.Bool(key);
        break;
      case Config::Type::kInt:
        json[key] = table.Int(key);
        break;
      case Config::Type::kReal:
        json[key] = table.Real(key);
        break;
      case Config::Type::kString:
        json[key] = table.String(key);
        break;
      case Config::Type::kList:
      case Config::Type::kMissing:
        throw Error(ErrorKind::kInternal, "[recipe] {}: a list", key);  // recipes have none
    }
  }
  return json;
}

// As a placeholder's value: a text as it is.
std::string ToText(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

}  // namespace

void WriteSplit(const fs::path& file, const data::Splits& splits) {
  WriteFileAtomically(file, Dump({{"format", "lathe-split"},
                                  {"version", kJobVersion},
                                  {"classes", splits.train->class_names()},
                                  {"validation", NamesOf(*splits.search_val)},
                                  {"test", NamesOf(*splits.test)}}));
}

JobFile::JobFile(const fs::path& folder, const study::TrialSpec& spec, const Config& config,
                 bool onnx)
    : file_(folder / "job.json") {
  constexpr uint64_t kSeeds = uint64_t{1} << 31;  // what the generators of all languages take
  const Config data = config.Table("data"), recipe = config.Table("recipe");
  epochs_ = recipe.Real("epochs");
  Json told = {{"kind", spec.kind},
               {"number", spec.number},
               {"seed", spec.seed % kSeeds},
               {"epochs", epochs_},
               {"threads", spec.threads},
               {"processes", spec.processes},
               {"network", (folder / "network.json").string()},
               {"out", (folder / "out").string()},
               {"data", data.String("path")},
               {"split", config.String("split_file")}};
  if (onnx) told["onnx"] = (folder / "network.onnx").string();
  for (const auto& [name, value] : told.items()) values_[name] = ToText(value);
  values_["epochs"] = fmt::format("{:g}", epochs_);  // whole ones without a point
  values_["job"] = file_.string();

  Json job = {{"format", "lathe-job"}, {"version", kJobVersion}, {"study", spec.study}};
  job.update(told);
  job["data_kind"] = data.String("kind");
  job["judged_on"] = spec.kind == "search" ? "validation" : "test";
  job["recipe"] = ToJson(recipe);
  content_ = Dump(job);
}

void JobFile::Write() const { WriteFileAtomically(file_, content_); }

bool JobFile::Written() const {
  std::error_code missing;
  return fs::exists(file_, missing);
}

}  // namespace lathe::cli
