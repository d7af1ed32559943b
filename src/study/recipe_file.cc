#include "study/recipe_file.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/process.h"

namespace lathe::study {
namespace {

constexpr int kVersion = 1;

std::vector<fs::path> PresetFolders(const fs::path& study_file) {
  const fs::path study = fs::absolute(study_file).parent_path();
  const fs::path program = OwnExecutable().parent_path();
  std::vector<fs::path> folders = {study, study / "../recipes", program / "../configs/recipes",
                                   program / "../share/lathe/recipes"};
  for (fs::path& folder : folders) folder = folder.lexically_normal();
  return folders;
}

// Names of the files in the preset folders proper (beside the study file, any TOML file may lie).
std::vector<std::string> KnownPresets(const std::vector<fs::path>& folders) {
  std::set<std::string> names;
  for (size_t i = 1; i < folders.size(); ++i) {
    std::error_code missing;
    for (const fs::directory_entry& entry : fs::directory_iterator(folders[i], missing)) {
      if (entry.path().extension() == ".toml") names.insert(entry.path().stem().string());
    }
  }
  return {names.begin(), names.end()};
}

fs::path FindRecipe(const Config& table, const std::string& name, const fs::path& study_file) {
  if (name.ends_with(".toml") || name.find('/') != std::string::npos) {
    const fs::path path =
        fs::absolute(study_file).parent_path() / name;  // an absolute name stays as it is
    if (!fs::exists(path))
      table.Fail("recipe", fmt::format("there is no file {}", path.lexically_normal().string()));
    return path.lexically_normal();
  }
  const std::vector<fs::path> folders = PresetFolders(study_file);
  for (const fs::path& folder : folders) {
    fs::path path = folder / (name + ".toml");
    if (fs::exists(path)) return path;
  }
  const std::vector<std::string> known = KnownPresets(folders);
  if (known.empty()) {
    table.Fail(
        "recipe",
        fmt::format("there is no recipe '{}' in {}; name a file ending in .toml, or use the "
                    "program where it was built or installed",
                    name,
                    fmt::join(std::vector<std::string>(folders.begin(), folders.end()), " or ")));
  }
  const std::string nearest = NearestName(name, known);
  table.Fail("recipe",
             fmt::format("unknown recipe '{}'{}; known: {}; or name a file ending in .toml", name,
                         nearest.empty() ? "" : fmt::format("; did you mean '{}'?", nearest),
                         fmt::join(known, ", ")));
}

}  // namespace

void CheckFormat(const Config& root, std::string_view format) {
  const std::array<std::string_view, 1> formats = {format};
  root.Choice("format", formats, std::string(format));
  if (root.Int("version", {.fallback = kVersion, .min = 1}) > kVersion) {
    root.Fail("version", fmt::format("newer than this program's {}; update Lathe", kVersion));
  }
}

Config WithRecipe(const Config& table, const fs::path& study_file) {
  if (!table.Has("recipe")) return table;
  const ConfigFile file =
      ConfigFile::LoadToml(FindRecipe(table, table.String("recipe"), study_file));
  Config merged = table.Over(file.root());
  merged.String("recipe");
  CheckFormat(merged, "lathe-recipe");
  return merged;
}

Config LoadRecipe(const std::string& name, std::span<const std::string> overrides) {
  const ConfigFile given = ConfigFile::ParseToml(
      fmt::format("recipe = {}", nlohmann::json(name).dump()), "--recipe", overrides);
  return WithRecipe(given.root(), fs::current_path() / "study.toml");
}

}  // namespace lathe::study
