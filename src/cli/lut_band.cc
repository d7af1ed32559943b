#include "cli/lut_band.h"

#include <fmt/format.h>

namespace lathe::cli {

std::string BandText(const latency::ErrorBand& band) {
  return fmt::format(
      "{} networks: mean error {:.1f} %, p95 {:.1f} %, bias {:+.1f} %, Spearman {:.4f}",
      band.networks, 100 * band.mape, 100 * band.p95, 100 * band.bias, band.spearman);
}

nlohmann::ordered_json JsonOf(const latency::ErrorBand& band) {
  return {{"networks", band.networks},
          {"mape", band.mape},
          {"p95", band.p95},
          {"bias", band.bias},
          {"spearman", band.spearman}};
}

}  // namespace lathe::cli
