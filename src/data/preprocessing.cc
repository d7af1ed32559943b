#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <mutex>

#include "base/error.h"
#include "base/file.h"
#include "base/parallel.h"
#include "base/process.h"
#include "data/loader.h"
#include "data/pixel_cache.h"
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

// What was measured before; trials of a search ask for the same again and again.
class Remembered {
 public:
  Remembered(const Dataset& train, int resolution, int64_t samples) {
    const fs::path folder = train.cache().folder;
    if (folder.empty() || train.InMemory()) return;
    const std::string what = fmt::format("mean {} {}", resolution, samples);
    path_ = folder / fmt::format("mean-{:016x}", HashBytes(what, Fingerprint(train)));
  }

  bool Read(Preprocessing& result) const {
    std::ifstream text(path_);
    Preprocessing read = result;
    std::string mark;
    for (size_t c = 0; c < 3; ++c) text >> read.mean[c] >> read.std[c];
    if (!(text >> mark) || mark != kMark) return false;
    result = read;
    return true;
  }

  void Write(const Preprocessing& result) const {
    if (path_.empty()) return;
    std::string text;
    for (size_t c = 0; c < 3; ++c) text += fmt::format("{} {}\n", result.mean[c], result.std[c]);
    try {
      WriteFileAtomically(path_, text + std::string(kMark) + "\n");
    } catch (const Error& error) {
      spdlog::warn("{}; the mean colour will be measured again", error.what());
    }
  }

 private:
  static constexpr std::string_view kMark = "lathe-mean-1";  // last: all of it is there
  fs::path path_;                                            // empty: nothing is kept
};

}  // namespace

Preprocessing MeasurePreprocessing(const Dataset& train, int resolution, int samples) {
  const int64_t count = std::min<int64_t>(samples, train.size());
  if (count <= 0) throw Error(ErrorKind::kInput, "the training set is empty");
  Preprocessing result{.resolution = resolution, .channels = train.channels()};
  const Remembered remembered(train, resolution, count);
  if (remembered.Read(result)) return result;
  const Preparation preparation{.side = resolution, .square = true, .crop = resolution};
  Sums total;
  std::mutex mutex;
  const int threads = train.InMemory() ? 1 : AvailableThreads();
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
  remembered.Write(result);
  return result;
}

}  // namespace lathe::data
