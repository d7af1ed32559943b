#include <algorithm>
#include <cmath>
#include <thread>

#include "base/error.h"
#include "base/parallel.h"
#include "data/loader.h"
#include "data/source.h"

namespace lathe::data {
namespace {

// Sums over bytes: exact, so that the order in which threads add them does not matter.
struct Sums {
  std::array<uint64_t, 3> values{}, squares{};
  uint64_t pixels = 0;
};

void Add(const ImageView& picture, Sums& sums) {
  const auto channels = static_cast<size_t>(picture.c);
  const size_t pixels = static_cast<size_t>(picture.h) * static_cast<size_t>(picture.w);
  for (size_t c = 0; c < channels; ++c) {
    uint64_t sum = 0, squares = 0;
    for (size_t at = c; at < pixels * channels; at += channels) {
      const uint64_t value = picture.pixels[at];
      sum += value;
      squares += value * value;
    }
    sums.values[c] += sum;
    sums.squares[c] += squares;
  }
  sums.pixels += pixels;
}

}  // namespace

Preprocessing MeasurePreprocessing(const Dataset& train, int resolution, int samples) {
  const int64_t count = std::min<int64_t>(samples, train.size());
  if (count <= 0) throw Error(ErrorKind::kInput, "the training set is empty");
  Preprocessing result{.resolution = resolution, .channels = train.channels()};
  const Preparation preparation{.side = resolution, .square = true, .crop = resolution};
  Sums total;
  std::mutex mutex;
  const int threads = train.InMemory() ? 1 : static_cast<int>(std::thread::hardware_concurrency());
  ParallelBlocks(static_cast<size_t>(count), 64, threads, [&](size_t begin, size_t end) {
    Workspace workspace;
    Sums sums;
    for (size_t i = begin; i < end; ++i) {
      // Spread evenly: data sets are often sorted by class.
      const int64_t index = static_cast<int64_t>(i) * train.size() / count;
      Add(GetPrepared(train, index, preparation, workspace), sums);
    }
    const std::scoped_lock lock(mutex);
    for (size_t c = 0; c < 3; ++c) {
      total.values[c] += sums.values[c];
      total.squares[c] += sums.squares[c];
    }
    total.pixels += sums.pixels;
  });
  for (size_t c = 0; c < static_cast<size_t>(result.channels); ++c) {
    const auto pixels = static_cast<double>(total.pixels);
    const double mean = static_cast<double>(total.values[c]) / pixels / 255;
    const double square = static_cast<double>(total.squares[c]) / pixels / (255.0 * 255.0);
    const double deviation = std::sqrt(std::max(0.0, square - mean * mean));
    result.mean[c] = static_cast<float>(mean);
    // A constant channel divides by something.
    result.std[c] = static_cast<float>(std::max(deviation, 1e-3));
  }
  return result;
}

}  // namespace lathe::data
