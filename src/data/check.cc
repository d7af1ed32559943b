#include "data/check.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <iterator>
#include <mutex>
#include <optional>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/parallel.h"
#include "base/process.h"
#include "data/cache_folder.h"
#include "data/decode.h"

namespace lathe::data {
namespace {

// The sorted fingerprints of files that were read without complaint, behind this and a checksum.
constexpr std::string_view kMagic = "lathe readable 1";

class Record {
 public:
  Record(const std::vector<PictureFolder>& folders, const fs::path& cache) {
    if (cache.empty()) return;
    std::string key;
    std::error_code ignored;
    for (const PictureFolder& folder : folders) {
      key += fs::absolute(folder.path, ignored).lexically_normal().native() + '\n';
    }
    try {
      MakeFolder(cache);
      path_ = cache / fmt::format("readable-{:016x}", HashBytes(key));
    } catch (const Error& error) {
      spdlog::warn("{}; the pictures are checked anew every time", error.what());
    }
  }

  const fs::path& path() const { return path_; }
  const std::vector<uint64_t>& readable() const { return readable_; }

  void Read() {
    std::string text;
    try {
      if (!path_.empty()) text = ReadFile(path_);
    } catch (const Error&) {  // the first time
    }
    const size_t head = kMagic.size() + sizeof(uint64_t);
    if (text.size() < head || !text.starts_with(kMagic)) return;
    const std::string_view body = std::string_view(text).substr(head);
    uint64_t checksum = 0;
    std::memcpy(&checksum, text.data() + kMagic.size(), sizeof(checksum));
    if (body.size() % sizeof(uint64_t) != 0 || checksum != HashBytes(body)) return;
    readable_.resize(body.size() / sizeof(uint64_t));
    std::memcpy(readable_.data(), body.data(), body.size());
  }

  bool Has(uint64_t fingerprint) const {
    return std::binary_search(readable_.begin(), readable_.end(), fingerprint);
  }

  void Write(std::vector<uint64_t> readable) {
    readable_ = std::move(readable);
    std::ranges::sort(readable_);
    if (path_.empty()) return;
    const std::string_view body(reinterpret_cast<const char*>(readable_.data()),
                                readable_.size() * sizeof(uint64_t));
    const uint64_t checksum = HashBytes(body);
    std::string text(kMagic);
    text.append(reinterpret_cast<const char*>(&checksum), sizeof(checksum));
    try {
      WriteFileAtomically(path_, text.append(body));
    } catch (const Error& error) {
      spdlog::warn("{}; the pictures will be checked again", error.what());
    }
  }

 private:
  fs::path path_;  // empty: nothing is kept
  std::vector<uint64_t> readable_;
};

struct Candidate {
  size_t folder, file;
};

// "" if the file can be decoded. The smallest decode reads all of it.
std::string ProblemOf(const PictureFolder& folder, const PictureFile& file, Image& scratch) {
  const fs::path path = folder.PathOf(file);
  if (!file.problem.empty()) return fmt::format("{}: {}", Shown(path), file.problem);
  try {
    DecodeImage(ReadPicture(path), 1, path, scratch);
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

std::vector<Unreadable> Decode(const std::vector<PictureFolder>& folders,
                               const std::vector<Candidate>& candidates, Record& record) {
  using Clock = std::chrono::steady_clock;
  constexpr size_t kMany = 2000;                // worth a bar only where somebody would wait
  constexpr std::chrono::seconds kUnsaved{10};  // so much may be lost when this is interrupted
  std::optional<Progress> progress;
  if (candidates.size() >= kMany) {
    progress.emplace(Progress::Options{.stage = "checking pictures",
                                       .total = static_cast<int64_t>(candidates.size()),
                                       .quiet = spdlog::get_level() > spdlog::level::info});
  }
  std::vector<Unreadable> found;
  std::vector<uint64_t> readable = record.readable();
  std::mutex mutex;
  int64_t done = 0;
  Clock::time_point saved = Clock::now();
  const auto check = [&](size_t begin, size_t end) {
    Image scratch;
    std::vector<Unreadable> bad;
    std::vector<uint64_t> good;
    for (size_t i = begin; i < end; ++i) {
      const auto [folder, index] = candidates[i];
      const PictureFile& file = folders[folder].files[index];
      std::string problem = ProblemOf(folders[folder], file, scratch);
      if (problem.empty()) {
        good.push_back(file.fingerprint);
      } else {
        bad.push_back({folder, index, std::move(problem)});
      }
    }
    const std::scoped_lock lock(mutex);
    std::ranges::move(bad, std::back_inserter(found));
    readable.insert(readable.end(), good.begin(), good.end());
    done += static_cast<int64_t>(end - begin);
    if (progress) progress->Update(done);
    if (Clock::now() - saved < kUnsaved) return;
    record.Write(readable);
    saved = Clock::now();
  };
  const int threads = AvailableThreads();
  ParallelBlocks(candidates.size(), 32, threads, check);
  std::ranges::sort(found, [](const Unreadable& a, const Unreadable& b) {
    return std::pair(a.folder, a.file) < std::pair(b.folder, b.file);
  });
  return found;
}

}  // namespace

std::vector<Unreadable> FindUnreadable(const std::vector<PictureFolder>& folders,
                                       const CacheOptions& cache) {
  Record record(folders, cache.folder);
  const auto candidates = [&] {
    std::vector<Candidate> unknown;
    for (size_t folder = 0; folder < folders.size(); ++folder) {
      const std::vector<PictureFile>& files = folders[folder].files;
      for (size_t i = 0; i < files.size(); ++i) {
        if (!files[i].problem.empty() || !record.Has(files[i].fingerprint)) {
          unknown.push_back({folder, i});
        }
      }
    }
    return unknown;
  };
  record.Read();
  if (candidates().empty()) return {};
  // Of many trials that start together one reads the pictures.
  std::optional<ProcessLock> lock;
  if (!record.path().empty()) {
    lock.emplace(record.path().native() + ".lock",
                 "waiting for another process that checks the same pictures");
    record.Read();
  }
  std::vector<Unreadable> found = Decode(folders, candidates(), record);
  std::vector<uint64_t> readable;
  auto bad = found.begin();
  for (size_t folder = 0; folder < folders.size(); ++folder) {
    const std::vector<PictureFile>& files = folders[folder].files;
    for (size_t i = 0; i < files.size(); ++i) {
      if (bad != found.end() && bad->folder == folder && bad->file == i) {
        ++bad;
      } else {
        readable.push_back(files[i].fingerprint);
      }
    }
  }
  record.Write(std::move(readable));
  return found;
}

}  // namespace lathe::data
