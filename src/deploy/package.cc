#include "deploy/package.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "data/preprocessing_file.h"
#include "deploy/card.h"
#include "deploy/examples.h"
#include "net/network_file.h"

namespace lathe::deploy {
namespace {

void WriteFiles(const fs::path& folder, const Package& package) {
  net::Weights weights = package.weights;
  weights.metadata["preprocessing"] = data::ToJson(package.preprocessing);
  weights.metadata["classes"] = nlohmann::json(package.class_names)
                                    .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  net::WriteSafetensors(folder / "weights.safetensors", weights);
  WriteFileAtomically(folder / "network.json", net::ToJson(package.network));
  std::vector<std::string> names = {"network.json", "weights.safetensors"};
  for (const auto& [name, bytes] : package.onnx_files) {
    WriteFileAtomically(folder / name, bytes);
    names.push_back(name);
  }
  for (const auto& [name, text] : ExampleFiles(package)) WriteFileAtomically(folder / name, text);
  std::map<std::string, std::string> files;
  for (const std::string& name : names) files[name] = ReadFile(folder / name);
  WriteFileAtomically(folder / "card.md", Card(package, files));
}

}  // namespace

void WritePackage(const fs::path& folder, const Package& package) {
  const fs::path fresh = folder.parent_path() / ("." + folder.filename().string() + ".new");
  const fs::path old = folder.parent_path() / ("." + folder.filename().string() + ".old");
  fs::remove_all(fresh);
  fs::remove_all(old);
  MakeFolder(fresh);
  try {
    WriteFiles(fresh, package);
    if (fs::exists(folder)) fs::rename(folder, old);
    fs::rename(fresh, folder);
    fs::remove_all(old);
  } catch (const fs::filesystem_error& error) {
    fs::remove_all(fresh);
    throw Error(ErrorKind::kIo, "{}: cannot write the package: {}", folder.string(),
                error.code().message());
  } catch (...) {
    fs::remove_all(fresh);
    throw;
  }
}

}  // namespace lathe::deploy
