// A data set for tests.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/loader.h"

namespace lathe::deploy {

// Grey 4 x 4 images; image i has pixel value 10 * i everywhere and label i % 3.
class Stripes : public data::Dataset {
 public:
  int64_t size() const override { return 12; }
  int channels() const override { return 1; }
  const std::vector<std::string>& class_names() const override { return names_; }
  int Label(int64_t index) const override { return static_cast<int>(index % 3); }
  data::Image Load(int64_t index, int) const override {
    return {.h = 4,
            .w = 4,
            .c = 1,
            .pixels = std::vector<uint8_t>(16, static_cast<uint8_t>(10 * index))};
  }

 private:
  std::vector<std::string> names_ = {"plain", "<script>alert(1)</script>", "a|b"};
};

inline const data::Preprocessing kPlain{
    .resolution = 4, .channels = 1, .mean = {0, 0, 0}, .std = {1, 1, 1}};

}  // namespace lathe::deploy
