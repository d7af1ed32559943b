#include "net/zoo.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>

#include "base/config.h"
#include "base/error.h"
#include "net/gpunet_file.h"
#include "net/zoo_torchvision.h"

namespace lathe::net {
namespace {

constexpr ZooEntry kZoo[] = {
    {"gpunet_0", "GPUNet-0, NVIDIA 2022 (arXiv:2205.00841), 78.9 % on ImageNet", 320, false},
    {"gpunet_1", "GPUNet-1, NVIDIA 2022 (arXiv:2205.00841), 80.5 % on ImageNet", 288, false},
    {"gpunet_2", "GPUNet-2, NVIDIA 2022 (arXiv:2205.00841), 82.2 % on ImageNet", 384, false},
    {"gpunet_p0", "GPUNet-P0, NVIDIA 2022 (arXiv:2205.00841), 80.3 % on ImageNet with distillation",
     224, false},
    {"gpunet_p1", "GPUNet-P1, NVIDIA 2022 (arXiv:2205.00841), 81.1 % on ImageNet with distillation",
     224, false},
    {"gpunet_d1", "GPUNet-D1, NVIDIA 2022 (arXiv:2205.00841), 82.5 % on ImageNet with distillation",
     456, false},
    {"gpunet_d2", "GPUNet-D2, NVIDIA 2022 (arXiv:2205.00841), 83.6 % on ImageNet with distillation",
     528, false},
    {"mobilenet_v2", "MobileNetV2, Sandler et al. 2018 (arXiv:1801.04381), as in torchvision", 224,
     true},
    {"mobilenet_v3_large",
     "MobileNetV3-Large, Howard et al. 2019 (arXiv:1905.02244), as in torchvision", 224, true},
    {"mobilenet_v3_small",
     "MobileNetV3-Small, Howard et al. 2019 (arXiv:1905.02244), as in torchvision", 224, true},
    {"efficientnet_b0", "EfficientNet-B0, Tan and Le 2019 (arXiv:1905.11946), as in torchvision",
     224, true},
    {"efficientnet_v2_s", "EfficientNetV2-S, Tan and Le 2021 (arXiv:2104.00298), as in torchvision",
     384, true},
};

constexpr double kMaxWidth = 16;

// The number at the start of `text`, which it is cut off from.
template <typename T>
std::optional<T> TakeNumber(std::string_view& text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return value;
}

// "@64x0.5", "@64", "x0.5" or "", after the network's name.
bool ReadSuffix(std::string_view suffix, ZooOptions& options) {
  if (suffix.starts_with('@')) {
    suffix.remove_prefix(1);
    const auto resolution = TakeNumber<int>(suffix);
    if (!resolution || *resolution < 1) return false;
    options.resolution = *resolution;
  }
  if (suffix.starts_with('x')) {
    suffix.remove_prefix(1);
    const auto width = TakeNumber<double>(suffix);
    if (!width) return false;
    options.width = *width;
  }
  return suffix.empty();
}

const ZooEntry& FindEntry(std::string_view name) {
  std::vector<std::string> names;
  for (const ZooEntry& entry : kZoo) {
    if (entry.name == name) return entry;
    names.emplace_back(entry.name);
  }
  const std::string nearest = NearestName(name, names);
  throw Error(ErrorKind::kInput, "the zoo has no network '{}'{}; it has: {}", name,
              nearest.empty() ? "" : fmt::format("; did you mean '{}'?", nearest),
              fmt::join(names, ", "));
}

Network Build(const ZooEntry& entry, const ZooOptions& options) {
  const FamilyOptions family{.input = {options.channels, options.resolution, options.resolution},
                             .width = options.width,
                             .classes = options.classes};
  if (entry.name == "mobilenet_v2") return MobileNetV2(family);
  if (entry.name == "mobilenet_v3_large") return MobileNetV3Large(family);
  if (entry.name == "mobilenet_v3_small") return MobileNetV3Small(family);
  if (entry.name == "efficientnet_b0") return EfficientNetB0(family);
  if (entry.name == "efficientnet_v2_s") return EfficientNetV2S(family);
  const Network native = BuildGpunet(ReleasedGpunet(entry.name).value(), entry.name);
  return WithClasses(WithInput(native, family.input), options.classes);
}

void CheckOptions(std::string_view name, const ZooEntry& entry, const ZooOptions& options) {
  if (options.resolution < 1 || options.resolution > kMaxPixels) {
    throw Error(ErrorKind::kInput, "{}: a resolution of {} px, allowed are 1 to {}", name,
                options.resolution, kMaxPixels);
  }
  if (!(options.width > 0 && options.width <= kMaxWidth)) {
    throw Error(ErrorKind::kInput, "{}: a width multiplier of {}, allowed is above 0 and up to {}",
                name, options.width, kMaxWidth);
  }
  if (options.width != 1.0 && !entry.scalable) {
    throw Error(ErrorKind::kInput, "{}: {} takes no width multiplier", name, entry.name);
  }
}

}  // namespace

std::span<const ZooEntry> Zoo() { return kZoo; }

Network ZooNetwork(std::string_view name, ZooOptions options) {
  // No network's own name has an '@' or an 'x'.
  const size_t end = std::min(name.find_first_of("@x"), name.size());
  if (!ReadSuffix(name.substr(end), options)) {
    throw Error(ErrorKind::kInput,
                "'{}': expected NAME, NAME@PIXELS, NAMExWIDTH or NAME@PIXELSxWIDTH, for example "
                "mobilenet_v2@64x0.5",
                name);
  }
  const ZooEntry& entry = FindEntry(name.substr(0, end));
  if (options.resolution == 0) options.resolution = entry.resolution;
  CheckOptions(name, entry, options);
  Network network = Build(entry, options);
  network.name = entry.name;
  if (options.resolution != entry.resolution)
    network.name += fmt::format("@{}", options.resolution);
  if (options.width != 1.0) network.name += fmt::format("x{:g}", options.width);
  Validate(network);
  return network;
}

}  // namespace lathe::net
