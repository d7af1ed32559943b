// Recipes in study files: a preset or file by name, with keys of the study's own table on top.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "base/config.h"

namespace lathe::study {

// Reads the optional keys `format` and `version` of a file; throws kInput for another format or a
// newer version.
void CheckFormat(const Config& root, std::string_view format);

// [trial] or [finalists] for train::ReadRecipe(): `recipe` names a preset ("quick") or a file
// ("my/recipe.toml", relative to the study file), and every other key wins over it. Presets are
// files NAME.toml beside the study file, in ../recipes, or where Lathe was built or installed.
Config WithRecipe(const Config& table, const std::filesystem::path& study_file);

// The same for a recipe named on the command line (relative to the working folder), with
// "key=value" settings on top.
Config LoadRecipe(const std::string& name, std::span<const std::string> overrides);

}  // namespace lathe::study
