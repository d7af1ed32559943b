#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/file.h"
#include "data/dataset.h"
#include "data/decode.h"

namespace lathe::data {
namespace {

bool IsPicture(const fs::path& path) {
  constexpr std::array<std::string_view, 3> kExtensions{".jpg", ".jpeg", ".png"};
  std::string extension = path.extension().string();
  for (char& c : extension) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return std::find(kExtensions.begin(), kExtensions.end(), extension) != kExtensions.end();
}

// Sorted, so that neither labels nor order depend on the file system. Hidden entries are skipped.
std::vector<fs::path> SortedEntries(const fs::path& folder, bool folders) {
  std::vector<fs::path> entries;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (entry.path().filename().string().starts_with(".")) continue;
    if (folders ? entry.is_directory() : entry.is_regular_file() && IsPicture(entry.path())) {
      entries.push_back(entry.path());
    }
  }
  std::sort(entries.begin(), entries.end());
  return entries;
}

class ImageFolder final : public Dataset {
 public:
  explicit ImageFolder(const fs::path& folder) {
    for (const fs::path& path : SortedEntries(folder, true)) {
      const std::vector<fs::path> pictures = SortedEntries(path, false);
      if (pictures.empty()) {
        throw Error(ErrorKind::kInput,
                    "{}: the class has no pictures (.jpg, .jpeg, .png); add some or remove the "
                    "folder",
                    path.string());
      }
      for (const fs::path& picture : pictures) {
        files_.push_back({picture, static_cast<int>(class_names_.size())});
      }
      class_names_.push_back(path.filename().string());
    }
    if (class_names_.size() < 2) {
      throw Error(ErrorKind::kInput,
                  "{}: has {} class folders, at least two are needed; pictures belong in "
                  "{}/<class>/",
                  folder.string(), class_names_.size(), folder.string());
    }
  }

  int64_t size() const override { return static_cast<int64_t>(files_.size()); }
  int channels() const override { return 3; }
  const std::vector<std::string>& class_names() const override { return class_names_; }
  int Label(int64_t index) const override { return files_[static_cast<size_t>(index)].label; }

  Image Load(int64_t index, int min_side) const override {
    const fs::path& path = files_[static_cast<size_t>(index)].path;
    return DecodeImage(ReadFile(path), min_side, path);
  }

 private:
  struct File {
    fs::path path;
    int label;
  };
  std::vector<File> files_;
  std::vector<std::string> class_names_;
};

}  // namespace

std::shared_ptr<const Dataset> OpenImageFolder(const fs::path& folder) {
  if (!fs::is_directory(folder)) {
    throw Error(ErrorKind::kInput, "{}: no such folder of pictures", folder.string());
  }
  try {
    return std::make_shared<ImageFolder>(folder);
  } catch (const fs::filesystem_error& error) {
    throw Error(ErrorKind::kIo, "{}: {}", error.path1().string(), error.code().message());
  }
}

}  // namespace lathe::data
