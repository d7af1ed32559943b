// A picture of a space (SVG): how many networks have which latency, and which choices a latency
// sub-space favours.
#pragma once

#include <string>
#include <vector>

namespace lathe::cli {

// Share of each choice of a gene among networks that have the gene's stage.
struct GeneShares {
  std::string gene;
  std::vector<std::string> choices;
  std::vector<double> in_space, in_subspace;
};

struct SpacePictureData {
  std::string title;
  std::vector<double> edges_ms, networks;  // histogram: edges, and one number fewer
  std::vector<double> between_ms;          // of the sub-space; empty: none
  std::vector<GeneShares> shares;          // likewise
};

std::string SpacePicture(const SpacePictureData& data);

}  // namespace lathe::cli
