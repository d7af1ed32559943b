#include "engine/engine.h"

#include "base/error.h"

namespace lathe::engine {

std::string_view Name(Precision precision) {
  switch (precision) {
    case Precision::kF32:
      return "f32";
    case Precision::kBf16:
      return "bf16";
    case Precision::kF16:
      return "f16";
    case Precision::kInt8:
      return "int8";
  }
  throw Error(ErrorKind::kInternal, "unknown precision {}", static_cast<int>(precision));
}

Precision ParsePrecision(std::string_view name) {
  for (const Precision precision :
       {Precision::kF32, Precision::kBf16, Precision::kF16, Precision::kInt8}) {
    if (name == Name(precision)) return precision;
  }
  throw Error(ErrorKind::kInput, "unknown precision '{}'; known: f32, bf16, f16, int8", name);
}

std::map<std::string, std::string> Fingerprint::Fields() const {
  return {{"engine", engine},
          {"engine_version", engine_version},
          {"device", device},
          {"device_name", device_name},
          {"precision", std::string(Name(options.precision))},
          {"threads", std::to_string(options.threads)},
          {"batch", std::to_string(options.batch)}};
}

bool Fingerprint::operator==(const Fingerprint& other) const { return Fields() == other.Fields(); }

}  // namespace lathe::engine
