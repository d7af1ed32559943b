#include <spdlog/spdlog.h>

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "data/check.h"
#include "data/dataset.h"
#include "data/decode.h"
#include "data/scan.h"

namespace lathe::data {
namespace {

class ImageFolder final : public Dataset {
 public:
  // `checked`: every picture could be read a moment ago.
  ImageFolder(PictureFolder folder, bool checked, CacheOptions cache)
      : folder_(std::move(folder)), checked_(checked), cache_(std::move(cache)) {}

  int64_t size() const override { return std::ssize(folder_.files); }
  int channels() const override { return 3; }
  const std::vector<std::string>& class_names() const override { return folder_.class_names; }
  int Label(int64_t index) const override { return File(index).label; }
  std::string Name(int64_t index) const override { return folder_.PathOf(File(index)).string(); }
  uint64_t Fingerprint(int64_t index) const override { return File(index).fingerprint; }
  CacheOptions cache() const override { return cache_; }

  Image Load(int64_t index, int min_side) const override {
    Image image;
    LoadInto(index, min_side, image);
    return image;
  }

  void LoadInto(int64_t index, int min_side, Image& image) const override {
    const PictureFile& file = File(index);
    const fs::path path = folder_.PathOf(file);
    if (!file.problem.empty()) {
      throw Error(ErrorKind::kInput, "{}: {}", Shown(path), file.problem);
    }
    try {
      DecodeImage(ReadPicture(path), min_side, path, image);
    } catch (const Error& error) {
      if (!checked_) throw;
      throw Error(error.kind(),
                  "{}; it could be read when the data was opened: put it back, and leave the "
                  "pictures alone while Lathe works",
                  error.what());
    }
  }

 private:
  const PictureFile& File(int64_t index) const { return folder_.files[static_cast<size_t>(index)]; }

  const PictureFolder folder_;
  const bool checked_;
  const CacheOptions cache_;
};

std::string List(const std::vector<Unreadable>& unreadable, int64_t total) {
  constexpr size_t kListed = 20;
  std::string text = fmt::format(
      "{} of {} pictures cannot be read:", FormatCount(std::ssize(unreadable)), FormatCount(total));
  for (size_t i = 0; i < std::min(kListed, unreadable.size()); ++i) {
    text += "\n  " + unreadable[i].message;
  }
  if (unreadable.size() > kListed) {
    text += fmt::format("\n  ... and {} more", FormatCount(std::ssize(unreadable) - kListed));
  }
  return text;
}

void Remove(const std::vector<Unreadable>& unreadable, size_t index, PictureFolder& folder) {
  std::vector<bool> bad(folder.files.size());
  for (const Unreadable& file : unreadable) {
    if (file.folder == index) bad[file.file] = true;
  }
  std::vector<PictureFile> kept;
  std::vector<int64_t> counts(folder.class_names.size());
  for (size_t i = 0; i < folder.files.size(); ++i) {
    if (bad[i]) continue;
    ++counts[static_cast<size_t>(folder.files[i].label)];
    kept.push_back(std::move(folder.files[i]));
  }
  for (size_t label = 0; label < counts.size(); ++label) {
    if (counts[label] > 0) continue;
    throw Error(ErrorKind::kInput, "{}: none of the class's pictures can be read",
                Shown(folder.path / folder.class_names[label]));
  }
  folder.files = std::move(kept);
}

}  // namespace

std::shared_ptr<const Dataset> OpenImageFolder(const fs::path& folder) {
  return std::make_shared<ImageFolder>(ScanPictures(folder), false, CacheOptions());
}

std::vector<std::shared_ptr<const Dataset>> OpenImageFolders(const std::vector<fs::path>& folders,
                                                             const ImageFolderOptions& options) {
  std::vector<PictureFolder> scans;
  int64_t total = 0;
  for (const fs::path& folder : folders) {
    scans.push_back(ScanPictures(folder));
    total += std::ssize(scans.back().files);
  }
  const std::vector<Unreadable> unreadable = FindUnreadable(scans, options.cache);
  if (!unreadable.empty()) {
    const std::string list = List(unreadable, total);
    if (!options.skip_unreadable) {
      throw Error(ErrorKind::kInput,
                  "{}\nrepair or remove them, or go on without them: [data] unreadable = \"skip\"",
                  list);
    }
    spdlog::warn("{}\nthey are skipped, as [data] unreadable asks", list);
  }
  std::vector<std::shared_ptr<const Dataset>> result;
  for (size_t i = 0; i < scans.size(); ++i) {
    Remove(unreadable, i, scans[i]);
    result.push_back(std::make_shared<ImageFolder>(std::move(scans[i]), true, options.cache));
  }
  return result;
}

}  // namespace lathe::data
