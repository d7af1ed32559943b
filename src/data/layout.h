// The order of an image's numbers in memory. Thread-safe.
#pragma once

#include <span>
#include <vector>

#include "data/loader.h"

namespace lathe::data {

// `count` images as the loader gives them (height, width, channel) into the order that engines take
// (channel, height, width); `nchw` is resized.
void ToNchw(std::span<const float> nhwc, int count, const Preprocessing& preprocessing,
            std::vector<float>& nchw);

}  // namespace lathe::data
