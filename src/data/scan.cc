#include "data/scan.h"

#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/error.h"
#include "base/file.h"
#include "base/parallel.h"
#include "base/process.h"
#include "base/random.h"
#include "data/decode.h"

namespace lathe::data {
namespace {

std::string LowerExtension(const fs::path& path) {
  std::string extension = path.extension().string();
  for (char& c : extension) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return extension;
}

bool IsPicture(const std::string& extension) {
  constexpr std::array<std::string_view, 3> kRead{".jpg", ".jpeg", ".png"};
  return std::find(kRead.begin(), kRead.end(), extension) != kRead.end();
}

bool IsOtherPicture(const std::string& extension) {
  constexpr std::array<std::string_view, 8> kOther{".bmp", ".gif", ".heic", ".jp2",
                                                   ".ppm", ".tif", ".tiff", ".webp"};
  return std::find(kOther.begin(), kOther.end(), extension) != kOther.end();
}

template <typename Visit>
void ForEachEntry(const fs::path& folder, Visit visit) {
  try {
    for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
      if (!entry.path().filename().native().starts_with(".")) visit(entry);
    }
  } catch (const fs::filesystem_error& error) {
    throw Error(ErrorKind::kIo, "cannot read folder {}: {}", Shown(folder), error.code().message());
  }
}

// Follows links. False: a folder, whatever its name.
bool Describe(const fs::path& path, PictureFile& file) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) {
    file.problem = Reason(errno);
    return true;
  }
  if (S_ISDIR(info.st_mode)) return false;
  if (!S_ISREG(info.st_mode)) file.problem = "not a regular file";
  const auto mix = [&](auto value) {
    file.fingerprint = Mix(file.fingerprint ^ static_cast<uint64_t>(value));
  };
  file.fingerprint = HashBytes(path.native());
  mix(info.st_size);
  mix(info.st_mtim.tv_sec);
  mix(info.st_mtim.tv_nsec);
  return true;
}

struct ClassFiles {
  std::vector<PictureFile> files;
  int64_t others = 0;
  std::string other;  // one of them
};

ClassFiles ScanClass(const fs::path& folder, int label) {
  ClassFiles result;
  ForEachEntry(folder, [&](const fs::directory_entry& entry) {
    const std::string extension = LowerExtension(entry.path());
    if (IsOtherPicture(extension)) {
      ++result.others;
      result.other = Shown(entry.path());
    }
    PictureFile file{.name = entry.path().filename().string(), .label = label};
    if (IsPicture(extension) && Describe(entry.path(), file)) {
      result.files.push_back(std::move(file));
    }
  });
  std::ranges::sort(result.files, {}, &PictureFile::name);
  if (result.files.empty()) {
    throw Error(ErrorKind::kInput,
                "{}: the class has no pictures (.jpg, .jpeg, .png); add some or remove the folder",
                Shown(folder));
  }
  return result;
}

std::vector<std::string> ScanClassNames(const fs::path& folder) {
  std::vector<std::string> names;
  ForEachEntry(folder, [&](const fs::directory_entry& entry) {
    if (entry.is_directory()) names.push_back(entry.path().filename().string());
  });
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    if (IsPrintable(name)) continue;
    throw Error(ErrorKind::kInput,
                "{}: a class's name has to be printable UTF-8; rename the folder",
                Shown(folder / name));
  }
  if (names.size() < 2) {
    throw Error(ErrorKind::kInput,
                "{}: has {} class folders, at least two are needed; pictures belong in "
                "{}/<class>/",
                Shown(folder), names.size(), Shown(folder));
  }
  return names;
}

}  // namespace

PictureFolder ScanPictures(const fs::path& folder) {
  std::error_code ignored;
  if (!fs::is_directory(folder, ignored)) {
    throw Error(ErrorKind::kInput, "{}: no such folder of pictures", Shown(folder));
  }
  PictureFolder result{.path = folder, .class_names = ScanClassNames(folder), .files = {}};
  std::vector<ClassFiles> classes(result.class_names.size());
  ParallelBlocks(classes.size(), 1, AvailableThreads(), [&](size_t i, size_t) {
    classes[i] = ScanClass(folder / result.class_names[i], static_cast<int>(i));
  });
  int64_t others = 0;
  std::string other;
  for (ClassFiles& files : classes) {
    std::ranges::move(files.files, std::back_inserter(result.files));
    others += files.others;
    if (!files.other.empty()) other = files.other;
  }
  if (others > 0) {
    spdlog::warn("{}: {} pictures that are neither JPEG nor PNG are left out, {} for example",
                 Shown(folder), others, other);
  }
  return result;
}

}  // namespace lathe::data
