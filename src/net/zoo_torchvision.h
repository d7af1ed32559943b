// The MobileNet and EfficientNet families as torchvision 0.29 builds them. Private to this module;
// net/zoo.h is the way in.
#pragma once

#include "net/network.h"

namespace lathe::net {

// `input` is one image's shape, `width` multiplies the widths by the family's own rule (see each
// function's comment).
struct FamilyOptions {
  Shape input;
  double width = 1.0;
  int classes = 1000;
};

Network MobileNetV2(
    const FamilyOptions& options);  // its last convolution never gets narrower than 1280
Network MobileNetV3Large(const FamilyOptions& options);
Network MobileNetV3Small(const FamilyOptions& options);
Network EfficientNetB0(const FamilyOptions& options);
Network EfficientNetV2S(
    const FamilyOptions& options);  // torchvision has no widths of it: the rule is B0's

}  // namespace lathe::net
