// Numbers of networks: they reach beyond 64 bits (the GPUNet space has 3.17e23).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace lathe::space {

__extension__ typedef unsigned __int128 Uint128;  // NOLINT(modernize-use-using)

struct BigCount {
  double approx = 0;             // relative error below 1e-12
  std::optional<Uint128> exact;  // absent above 2^100
  std::string Text() const;      // all digits where exact, else "1.234567890123e+45"
};

}  // namespace lathe::space
