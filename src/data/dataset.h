// Labelled images: IDX (MNIST family), CIFAR binary, ImageFolder (JPEG, PNG). A Dataset is
// immutable and thread-safe.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/config.h"

namespace lathe::data {

// Height x width x channels, 8 bits, row-major, interleaved.
struct Image {
  int h = 0, w = 0, c = 0;
  std::vector<uint8_t> pixels;
};

// The same, but the pixels belong to somebody else.
struct ImageView {
  int h = 0, w = 0, c = 0;
  const uint8_t* pixels = nullptr;
  ImageView() = default;
  ImageView(int height, int width, int channels, const uint8_t* first)
      : h(height), w(width), c(channels), pixels(first) {}
  ImageView(const Image& image)  // NOLINT(google-explicit-constructor): as std::string_view
      : ImageView(image.h, image.w, image.c, image.pixels.data()) {}
};

// Where decoded pictures and what was learnt of their files is kept from run to run.
struct CacheOptions {
  std::filesystem::path folder;  // empty: nothing is kept
  double gb = 0;                 // that all pixels in it may take; 0: none are kept
};

class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual int64_t size() const = 0;
  virtual int channels() const = 0;
  virtual const std::vector<std::string>& class_names() const = 0;
  virtual int Label(int64_t index) const = 0;
  // Decodes one image, at least `min_side` px on its shorter side where the format allows a cheaper
  // scaled decode (0: full size). Throws kInput naming the file.
  virtual Image Load(int64_t index, int min_side = 0) const = 0;
  // The same into a buffer that is used again and again.
  virtual void LoadInto(int64_t index, int min_side, Image& image) const {
    image = Load(index, min_side);
  }
  // True if Load() is a copy from memory, so that nothing is gained by caching its result.
  virtual bool InMemory() const { return false; }
  // That memory, as long as the data set lives; without pixels where there is none.
  virtual ImageView View(int64_t /*index*/) const { return {}; }
  // What a program that reads the same files finds the image by: the path of its file, or its
  // number in files of many, from 0.
  virtual std::string Name(int64_t index) const { return std::to_string(index); }
  // Changes when the pixels may have changed: of the file's name, size and time.
  virtual uint64_t Fingerprint(int64_t /*index*/) const { return 0; }
  virtual CacheOptions cache() const { return {}; }
};

// IDX files, gzipped or not, as Debian's dataset-fashion-mnist ships them. Throws kInput for a
// missing, truncated or mismatched file: which one, expected and found sizes, and how to get the
// data.
std::shared_ptr<const Dataset> OpenIdx(const std::filesystem::path& images,
                                       const std::filesystem::path& labels,
                                       std::vector<std::string> class_names);
// Folder/<class>/<picture>. Unreadable files are found on Load().
std::shared_ptr<const Dataset> OpenImageFolder(const std::filesystem::path& folder);

struct ImageFolderOptions {
  bool skip_unreadable = false;  // with a warning; as if these files did not exist
  CacheOptions cache;
};
// The same for several folders, after every picture was read once: one error, or warning, lists all
// that are unreadable. What was readable is remembered in the cache, and not read again.
std::vector<std::shared_ptr<const Dataset>> OpenImageFolders(
    const std::vector<std::filesystem::path>& folders, const ImageFolderOptions& options);

// CIFAR-10/100 binary batches.
std::shared_ptr<const Dataset> OpenCifar(const std::vector<std::filesystem::path>& files,
                                         std::vector<std::string> class_names);

// The rows `indices` of a data set, in that order.
std::shared_ptr<const Dataset> Subset(std::shared_ptr<const Dataset> all,
                                      std::vector<int64_t> indices);
// `count` images of a data set, spread evenly; all, if it has no more.
std::shared_ptr<const Dataset> Spread(std::shared_ptr<const Dataset> all, int64_t count);

// What a study trains on. `search_train`/`search_val` split the training part (stratified, seeded);
// finalists train on all of `train` and are judged on `test`, which the search never sees.
struct Splits {
  std::shared_ptr<const Dataset> train, test, search_train, search_val;
};

// The [data] table of a study:
//   kind = "fashion-mnist" | "idx" | "image-folder" | "cifar";  path = "...";  validation = 5000
//   (count) or 0.1 (share);  unreadable = "fail" | "skip";  cache = "folder";  cache_gb = 20
// "fashion-mnist" defaults to where Debian's package puts it.
struct DataConfig {
  std::string kind;
  std::filesystem::path path;
  double validation = 0.1;
  std::string unreadable = "fail";
  std::filesystem::path cache;  // empty: $XDG_CACHE_HOME/lathe, or ~/.cache/lathe
  double cache_gb = 20;         // for decoded pictures; 0: decode them every time
};
DataConfig ReadDataConfig(const Config& table);  // does not touch the files
std::string ToToml(const DataConfig& config);    // the [data] table that reads back the same
Splits OpenSplits(const DataConfig& config, uint64_t seed);

}  // namespace lathe::data
