#include <fmt/format.h>

#include "data/loader.h"

namespace lathe::data {

Augmentation ReadAugmentation(const Config& table) {
  const Augmentation defaults;
  Augmentation result;
  const auto real = [&](const char* key, double& value, double fallback, double most,
                        double least = 0) {
    value = table.Real(key, {.fallback = fallback, .min = least, .max = most});
  };
  result.flip = table.Bool("flip", false);
  result.pad_crop = static_cast<int>(table.Int("pad_crop", {.fallback = 0, .min = 0, .max = 256}));
  result.random_resized_crop = table.Bool("random_resized_crop", false);
  real("crop_scale", result.crop_scale, defaults.crop_scale, 1, 0.01);
  result.rand_augment =
      static_cast<int>(table.Int("rand_augment", {.fallback = 0, .min = 0, .max = 16}));
  real("rand_magnitude", result.rand_magnitude, defaults.rand_magnitude, 10);
  real("rand_deviation", result.rand_deviation, defaults.rand_deviation, 10);
  real("brightness", result.brightness, 0, 1);
  real("contrast", result.contrast, 0, 1);
  real("saturation", result.saturation, 0, 1);
  real("hue", result.hue, 0, 0.5);
  real("random_erasing", result.random_erasing, 0, 1);
  real("mixup", result.mixup, 0, 10);
  real("cutmix", result.cutmix, 0, 10);
  table.Finish();
  return result;
}

std::string ToToml(const Augmentation& a) {
  return fmt::format(
      "{{ flip = {}, pad_crop = {}, random_resized_crop = {}, crop_scale = {}, rand_augment = {}, "
      "rand_magnitude = {}, rand_deviation = {}, brightness = {}, contrast = {}, saturation = {}, "
      "hue = {}, random_erasing = {}, mixup = {}, cutmix = {} }}",
      a.flip, a.pad_crop, a.random_resized_crop, a.crop_scale, a.rand_augment, a.rand_magnitude,
      a.rand_deviation, a.brightness, a.contrast, a.saturation, a.hue, a.random_erasing, a.mixup,
      a.cutmix);
}

}  // namespace lathe::data
