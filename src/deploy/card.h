// The model card: what a network is worth, on what it was judged, how to run it, how it was made.
// Private to this module.
#pragma once

#include <map>
#include <string>

#include "deploy/package.h"

namespace lathe::deploy {

// Markdown; `files`: contents by name, for their sizes and hashes.
std::string Card(const Package& package, const std::map<std::string, std::string>& files);

}  // namespace lathe::deploy
