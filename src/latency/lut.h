// The latency look-up table: layer key -> latency with spread and sample count, for one target. A
// plain value; the file is JSON with a format version, the target's fingerprint and the error band
// of its last check.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "latency/part.h"
#include "net/network.h"

namespace lathe::latency {

// Text key of what a layer computes: "irb_i24x14x14_o32_k3_s2_m96_swish_se8:relu:sigmoid". Layers
// that cost the same have the same key, whatever network they are in: `stage`, `bn_eps` and values
// without effect are left out.
using LayerKey = std::string;
LayerKey KeyOf(const net::Layer& layer);
// The layer a key describes, with KeyOf(LayerOf(key)) == key. Throws kInput naming the key when it
// is not such a text.
net::Layer LayerOf(const LayerKey& key);

struct LutEntry {
  net::Layer layer;  // what the key means
  double latency_us = 0;
  double spread = 0;  // relative: (p90 - p10) / median over samples
  int samples = 0;
};

// The same of a part of layers, whichever layers it was seen in.
struct PartEntry {
  Part part;
  double latency_us = 0;
  double spread = 0;
  int samples = 0;
};

// Error of whole-network predictions, from a check against end-to-end timings.
struct ErrorBand {
  double mape = 0;  // mean absolute percentage error, 0.04 = 4 %
  double p95 = 0;   // 95th percentile of |error|
  double bias = 0;  // mean signed error
  double spearman = 0;
  int networks = 0;
};

// Error of estimates for layers that were held back, each from the others.
struct KeyBand {
  double median = 0;  // of |error|
  double p90 = 0;
  int keys = 0;
};

// The network that was timed again and again while the LUT was built: what "the machine's speed"
// means for this LUT.
struct Reference {
  net::Network network;
  double latency_us = 0;
};

struct Lut {
  engine::Fingerprint target;
  std::map<LayerKey, LutEntry> entries;
  std::map<PartKey, PartEntry> parts;  // empty where the engine does not tell parts apart
  double overhead_us = 0;              // per inference, beside the layers
  double noise_floor = 0;              // relative spread of the reference network over the session
  std::optional<ErrorBand> band;
  std::optional<KeyBand> key_band;
  std::optional<Reference> reference;

  std::optional<double> Find(const net::Layer& layer) const;  // measured latency, us
};

// Throws kInput: not a LUT, newer format, truncated, unknown key, zero/negative/NaN latency (which
// key).
Lut ReadLut(const std::filesystem::path& path);
void WriteLut(const std::filesystem::path& path, const Lut& lut);
// Throws kInput naming every differing field unless the LUT, or what has these Fingerprint::Fields,
// was made for `target`.
void CheckTarget(const Lut& lut, const engine::Fingerprint& target,
                 const std::filesystem::path& path);
void CheckTarget(const std::map<std::string, std::string>& made_for,
                 const engine::Fingerprint& target, const std::filesystem::path& path);

}  // namespace lathe::latency
