// For tests: preprocessing that changes nothing.
#pragma once

#include "data/loader.h"

namespace lathe::data {

// y = x: so that a batch shows the pixels themselves.
inline Preprocessing Raw(int side, int channels) {
  const float one = 1.0f / 255;
  return {.resolution = side, .channels = channels, .mean = {0, 0, 0}, .std = {one, one, one}};
}

}  // namespace lathe::data
