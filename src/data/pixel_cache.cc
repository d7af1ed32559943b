#include "data/pixel_cache.h"

#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <mutex>
#include <optional>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/parallel.h"
#include "base/process.h"
#include "base/random.h"
#include "data/cache_folder.h"
#include "data/decode.h"
#include "data/source.h"

namespace lathe::data {
namespace {

constexpr std::string_view kPrefix = "pixels-", kPart = ".part", kLock = ".lock";
// A file that was needed so lately is not given up for another: two searches whose pictures do not
// fit together would make them anew for ever.
constexpr std::chrono::hours kKept{1};

struct OldFile {
  fs::path path;
  int64_t bytes = 0;
  fs::file_time_type used;
};

bool IsUnused(const fs::path& path) { return ProcessLock::TryNow(path).has_value(); }

// All files of pixels; parts whose maker died are removed.
std::vector<OldFile> ListFiles(const fs::path& folder) {
  std::vector<OldFile> files;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(kPrefix) || name.ends_with(kLock)) continue;
    if (name.ends_with(kPart)) {
      const std::string lock = name.substr(0, name.find('.')) + std::string(kLock);
      if (IsUnused(folder / lock)) fs::remove(entry.path(), error);
      continue;
    }
    const auto bytes = static_cast<int64_t>(entry.file_size(error));
    if (!error) files.push_back({entry.path(), bytes, entry.last_write_time(error)});
  }
  std::ranges::sort(files, {}, &OldFile::used);
  return files;
}

// What makers of `path` left who died; nobody else is making it.
void RemoveParts(const fs::path& path) {
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(path.parent_path(), error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(path.filename().string()) && name.ends_with(kPart)) {
      fs::remove(entry.path(), error);
    }
  }
}

// Removes files that nobody uses, the oldest first, until `needed` bytes fit. True if they do.
bool MakeRoom(const CacheOptions& cache, int64_t needed) {
  const auto limit = static_cast<int64_t>(cache.gb * 1e9);
  std::vector<OldFile> files = ListFiles(cache.folder);
  int64_t used = 0;
  for (const OldFile& file : files) used += file.bytes;
  const auto fits = [&] {
    std::error_code error;
    const auto available = static_cast<int64_t>(fs::space(cache.folder, error).available);
    return used + needed <= limit && (error || needed <= available / 2);
  };
  if (needed > limit) return false;
  const auto now = fs::file_time_type::clock::now();
  for (const OldFile& file : files) {
    if (fits()) return true;
    if (now - file.used < kKept || !IsUnused(file.path)) continue;
    std::error_code error;
    if (fs::remove(file.path, error)) used -= file.bytes;
  }
  return fits();
}

int64_t EstimateBytes(const Dataset& dataset, const Preparation& preparation) {
  if (preparation.square) {
    return dataset.size() * preparation.crop * preparation.crop * dataset.channels();
  }
  const int64_t samples = std::min<int64_t>(32, dataset.size());
  int64_t bytes = 0;
  Workspace workspace;
  for (int64_t i = 0; i < samples; ++i) {
    const ImageView view =
        GetPrepared(dataset, i * dataset.size() / samples, preparation, workspace);
    bytes += int64_t{view.h} * view.w * view.c;
  }
  return bytes / samples * dataset.size();
}

// False: they take more than `most` bytes after all.
bool Make(const Dataset& dataset, const Preparation& preparation, int64_t most,
          PixelFileWriter& writer) {
  constexpr int64_t kMany = 2000;  // worth a bar only where somebody would wait
  std::optional<Progress> progress;
  if (dataset.size() >= kMany) {
    progress.emplace(Progress::Options{.stage = "caching pictures",
                                       .total = dataset.size(),
                                       .quiet = spdlog::get_level() > spdlog::level::info});
  }
  std::mutex mutex;
  int64_t done = 0;
  std::atomic<bool> fits = true;
  const int threads = AvailableThreads();
  ParallelBlocks(static_cast<size_t>(dataset.size()), 32, threads, [&](size_t begin, size_t end) {
    Workspace workspace;
    for (size_t i = begin; i < end && fits; ++i) {
      const auto index = static_cast<int64_t>(i);
      writer.Add(index, GetPrepared(dataset, index, preparation, workspace));
    }
    if (writer.bytes() > most) fits = false;
    const std::scoped_lock lock(mutex);
    done += static_cast<int64_t>(end - begin);
    if (progress) progress->Update(done);
  });
  return fits;
}

// Nothing if there is no room.
std::unique_ptr<const PixelFile> MakeFile(const Dataset& dataset, const Preparation& preparation,
                                          const fs::path& path, const PixelFileId& id) {
  const CacheOptions cache = dataset.cache();
  const int64_t estimate = EstimateBytes(dataset, preparation);
  constexpr double kMargin = 1.1;  // of the estimate, which comes from a few pictures
  const auto most = static_cast<int64_t>(kMargin * static_cast<double>(estimate)) + (1 << 20);
  PixelFileWriter writer(path, id);
  if (!MakeRoom(cache, estimate) || !Make(dataset, preparation, most, writer)) {
    spdlog::info(
        "{} pictures take {:.1f} GB when decoded, more than [data] cache_gb = {:g} or half of the "
        "free disk at {} leaves; they are decoded as they are needed",
        FormatCount(dataset.size()), static_cast<double>(estimate) / 1e9, cache.gb,
        Shown(cache.folder));
    return nullptr;
  }
  writer.Commit();
  return PixelFile::Open(path, id);
}

}  // namespace

uint64_t Fingerprint(const Dataset& dataset) {
  uint64_t hash = Mix(static_cast<uint64_t>(dataset.size()));
  for (int64_t i = 0; i < dataset.size(); ++i) hash = Mix(hash ^ dataset.Fingerprint(i));
  return hash;
}

std::unique_ptr<const PixelFile> OpenPixels(const Dataset& dataset,
                                            const Preparation& preparation) {
  const CacheOptions cache = dataset.cache();
  if (dataset.InMemory() || cache.folder.empty() || cache.gb <= 0) return nullptr;
  const std::string made = fmt::format("side {} square {} crop {}", preparation.side,
                                       preparation.square, preparation.crop);
  const PixelFileId id{.key = HashBytes(made, Fingerprint(dataset)), .count = dataset.size()};
  const fs::path path = cache.folder / fmt::format("{}{:016x}", kPrefix, id.key);
  if (auto file = PixelFile::Open(path, id)) return file;
  try {
    MakeFolder(cache.folder);
    const ProcessLock lock(path.native() + std::string(kLock),
                           "waiting for another process that decodes the same pictures");
    if (auto file = PixelFile::Open(path, id)) return file;
    if (lock.held()) RemoveParts(path);
    return MakeFile(dataset, preparation, path, id);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kIo) throw;
    spdlog::warn("{}; pictures are decoded as they are needed", error.what());
    return nullptr;
  }
}

}  // namespace lathe::data
