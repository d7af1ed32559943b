#include "data/pixel_cache.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "base/file.h"
#include "base/temp_folder_testing.h"
#include "data/loader.h"
#include "data/pictures_testing.h"

namespace lathe::data {
namespace {

// Seen by all processes that a test forks.
struct Shared {
  std::atomic<int> loads = 0;
  std::atomic<int> pause_ms = 0;  // of every load
};

// Pictures of 30 x 20 px and up that count how often they are decoded.
class Counted final : public Dataset {
 public:
  Counted(fs::path folder, Shared& shared) : folder_(std::move(folder)), shared_(shared) {}

  int64_t size() const override { return 40; }
  int channels() const override { return 3; }
  const std::vector<std::string>& class_names() const override { return names_; }
  int Label(int64_t index) const override { return static_cast<int>(index % 2); }
  uint64_t Fingerprint(int64_t index) const override {
    return static_cast<uint64_t>(index) + version;
  }
  CacheOptions cache() const override { return {folder_, gb}; }
  Image Load(int64_t index, int) const override {
    ++shared_.loads;
    std::this_thread::sleep_for(std::chrono::milliseconds(shared_.pause_ms));
    if (index == broken) throw Error(ErrorKind::kInput, "picture {} is broken", index);
    Image image{20, 30 + static_cast<int>(index), 3, {}};
    for (int i = 0; i < image.h * image.w * 3; ++i) {
      image.pixels.push_back(static_cast<uint8_t>(i * 7 + index * 31));
    }
    return image;
  }

  double gb = 1;
  uint64_t version = 0;
  int64_t broken = -1;

 private:
  const fs::path folder_;
  Shared& shared_;
  const std::vector<std::string> names_{"a", "b"};
};

class PixelCacheTest : public testing::Test {
 protected:
  static constexpr int kSampled = 32;  // to estimate the size of pictures of many shapes

  PixelCacheTest() {
    void* memory =
        mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    shared_ = new (memory) Shared;
    data_ = std::make_shared<Counted>(folder_ / "cache", *shared_);
  }
  ~PixelCacheTest() override { munmap(shared_, sizeof(Shared)); }

  // The files whose names end so.
  std::vector<fs::path> Files(const std::string& ending) const {
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(folder_ / "cache")) {
      if (entry.path().extension() == ending) files.push_back(entry.path());
    }
    return files;
  }
  fs::path OnlyFile() const {
    const std::vector<fs::path> files = Files("");
    EXPECT_EQ(files.size(), 1u);
    return files.at(0);
  }

  std::vector<float> Pixels(bool training) const {
    LoaderOptions options{.preprocessing = {.resolution = 8, .channels = 3, .crop = 0.8},
                          .augmentation = {.flip = true, .random_resized_crop = true},
                          .batch = 10,
                          .seed = 1,
                          .training = training};
    Loader loader(data_, options);
    std::vector<float> pixels;
    for (Batch batch; loader.Next(batch);) {
      pixels.insert(pixels.end(), batch.images.begin(), batch.images.end());
    }
    return pixels;
  }
  std::vector<float> PixelsWithoutCache(bool training) const {
    const double gb = std::exchange(data_->gb, 0);
    std::vector<float> pixels = Pixels(training);
    data_->gb = gb;
    return pixels;
  }

  int Loads() const { return shared_->loads.exchange(0); }

  // Runs `action` in a child process; it succeeds if nothing is thrown.
  template <typename Action>
  static pid_t Fork(Action action) {
    const pid_t child = fork();
    if (child != 0) return child;
    int code = 1;
    try {
      action();
      code = 0;
    } catch (...) {
    }
    _exit(code);
  }
  static bool Succeeded(pid_t child) {
    int status = 0;
    return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }

  TempFolder folder_;
  Shared* shared_ = nullptr;
  std::shared_ptr<Counted> data_;
  const Preparation crops_{.side = 14};
};

TEST_F(PixelCacheTest, GivesTheSamePixelsAndDecodesOnce) {
  for (const bool training : {true, false}) {
    const std::vector<float> expected = PixelsWithoutCache(training);
    EXPECT_EQ(Loads(), 40);
    EXPECT_EQ(Pixels(training), expected);
    EXPECT_EQ(Loads(), training ? 40 + kSampled : 40);
    EXPECT_EQ(Pixels(training), expected);
    EXPECT_EQ(Loads(), 0);
  }
  EXPECT_EQ(Files("").size(), 2u);
  EXPECT_TRUE(Files(".part").empty());
  data_->version = 1;  // the files have changed
  Pixels(true);
  EXPECT_EQ(Loads(), 40 + kSampled);
}

TEST_F(PixelCacheTest, DamagedFilesAreMadeAnew) {
  const std::vector<float> expected = Pixels(true);
  const std::string good = ReadFile(OnlyFile());
  Loads();
  const auto damaged = [&](size_t at) {
    std::string text = good;
    text[at] = static_cast<char>(text[at] ^ 1);
    return text;
  };
  const size_t version = 13, entry = 48 + 24 * 5;
  for (const std::string& text :
       {damaged(version), damaged(entry), damaged(entry + 20), good + "x",
        good.substr(0, good.size() - 1), good.substr(0, 30), std::string()}) {
    WriteFileAtomically(OnlyFile(), text);
    EXPECT_EQ(Pixels(true), expected);
    EXPECT_EQ(Loads(), 40 + kSampled);
    EXPECT_EQ(ReadFile(OnlyFile()).size(), good.size());
  }
  // Damage to pixels is found on their first use: these are decoded, and the file is removed.
  WriteFileAtomically(OnlyFile(), damaged(good.size() - 1));
  EXPECT_EQ(Pixels(true), expected);
  EXPECT_EQ(Loads(), 1);
  EXPECT_TRUE(Files("").empty());
  EXPECT_EQ(Pixels(true), expected);
  EXPECT_EQ(Loads(), 40 + kSampled);
}

TEST_F(PixelCacheTest, OfSeveralProcessesOneDecodes) {
  shared_->pause_ms = 2;
  std::vector<pid_t> children;
  for (int i = 0; i < 4; ++i) {
    children.push_back(Fork([&] {
      if (OpenPixels(*data_, crops_) == nullptr) throw Error(ErrorKind::kInternal, "no cache");
    }));
  }
  for (const pid_t child : children) EXPECT_TRUE(Succeeded(child));
  EXPECT_EQ(Loads(), 40 + kSampled);
  EXPECT_EQ(Files("").size(), 1u);
  EXPECT_TRUE(Files(".part").empty());
}

TEST_F(PixelCacheTest, AKilledBuilderIsReplacedByOneThatWaits) {
  shared_->pause_ms = 20;
  const pid_t first = Fork([&] { OpenPixels(*data_, crops_); });
  while (shared_->loads < kSampled + 3) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  const pid_t second = Fork([&] {
    if (OpenPixels(*data_, crops_) == nullptr) throw Error(ErrorKind::kInternal, "no cache");
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(60));
  EXPECT_EQ(Files(".part").size(), 1u);
  EXPECT_TRUE(Files("").empty());
  shared_->pause_ms = 0;
  kill(first, SIGKILL);
  EXPECT_FALSE(Succeeded(first));
  EXPECT_TRUE(Succeeded(second));
  EXPECT_EQ(Files("").size(), 1u);
  EXPECT_TRUE(Files(".part").empty());
}

TEST_F(PixelCacheTest, PartsOfTheDeadAreRemoved) {
  const fs::path part = folder_ / "cache/pixels-0123456789abcdef.Ab3dEf.part";
  WriteFileAtomically(part, "half");
  EXPECT_NE(OpenPixels(*data_, crops_), nullptr);
  EXPECT_FALSE(fs::exists(part));
}

TEST_F(PixelCacheTest, AFullDiskMeansDecoding) {
  const std::vector<float> expected = PixelsWithoutCache(true);
  const pid_t child = Fork([&] {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{10000, 10000};
    setrlimit(RLIMIT_FSIZE, &limit);
    if (Pixels(true) != expected) throw Error(ErrorKind::kInternal, "other pixels");
  });
  EXPECT_TRUE(Succeeded(child));
  EXPECT_TRUE(Files("").empty());
  EXPECT_TRUE(Files(".part").empty());
}

TEST_F(PixelCacheTest, AFolderThatCannotBeMadeMeansDecoding) {
  const std::vector<float> expected = PixelsWithoutCache(true);
  WriteFileAtomically(folder_ / "cache", "a file");
  EXPECT_EQ(Pixels(true), expected);
}

TEST_F(PixelCacheTest, KeepsToItsLimit) {
  const int64_t bytes = 40 * 14 * 30 * 3;
  data_->gb = static_cast<double>(bytes) / 2 / 1e9;
  EXPECT_EQ(OpenPixels(*data_, crops_), nullptr);
  EXPECT_TRUE(Files("").empty() && Files(".part").empty());
  data_->gb = static_cast<double>(bytes) * 1.5 / 1e9;
  EXPECT_NE(OpenPixels(*data_, crops_), nullptr);
  const fs::path first = OnlyFile();
  // No room for a second one: the first was needed a moment ago.
  const Preparation other{.side = 13};
  EXPECT_EQ(OpenPixels(*data_, other), nullptr);
  EXPECT_EQ(OnlyFile(), first);
  // Nor while it is in use, however long ago it was opened.
  auto in_use = OpenPixels(*data_, crops_);
  const auto long_ago = fs::file_time_type::clock::now() - std::chrono::hours(2);
  fs::last_write_time(first, long_ago);
  EXPECT_EQ(OpenPixels(*data_, other), nullptr);
  EXPECT_EQ(OnlyFile(), first);
  in_use.reset();
  EXPECT_NE(OpenPixels(*data_, other), nullptr);
  EXPECT_NE(OnlyFile(), first);
}

TEST_F(PixelCacheTest, ABrokenPictureEndsTheMakingAndLeavesNothing) {
  data_->broken = 39;  // not among those that the size is estimated from
  ExpectError(ErrorKind::kInput, "picture 39 is broken", [&] { OpenPixels(*data_, crops_); });
  EXPECT_TRUE(Files("").empty() && Files(".part").empty());
}

TEST_F(PixelCacheTest, SubsetsHaveTheirOwn) {
  const auto some = Subset(data_, {3, 1, 4});
  EXPECT_NE(Fingerprint(*some), Fingerprint(*Subset(data_, {3, 1, 5})));
  const auto pixels = OpenPixels(*some, {.side = 20});
  ASSERT_NE(pixels, nullptr);
  EXPECT_EQ(pixels->View(2).w, 34);
}

TEST(MeanTest, IsMeasuredOnceForTheSameFiles) {
  const TempFolder folder;
  for (const char* name : {"set/a/1.png", "set/b/1.png"}) {
    WriteFileAtomically(folder / name, EncodePng(8, 8, SPNG_COLOR_TYPE_TRUECOLOR, 3));
  }
  const auto open = [&] {
    return OpenImageFolders({folder / "set"}, {.cache = {.folder = folder / "cache"}})[0];
  };
  const Preprocessing measured = MeasurePreprocessing(*open(), 8);
  EXPECT_NEAR(measured.mean[1], 80 / 255.0, 1e-6);
  int files = 0;
  for (const auto& entry : fs::directory_iterator(folder / "cache")) {
    if (!entry.path().filename().string().starts_with("mean-")) continue;
    ++files;
    const std::string text = ReadFile(entry.path());
    WriteFileAtomically(entry.path(), "0.25" + text.substr(text.find(' ')));
  }
  EXPECT_EQ(files, 1);
  const Preprocessing remembered = MeasurePreprocessing(*open(), 8);
  EXPECT_EQ(remembered.mean[0], 0.25f);
  EXPECT_EQ(remembered.mean[1], measured.mean[1]);
  EXPECT_EQ(remembered.std, measured.std);
  EXPECT_NE(MeasurePreprocessing(*open(), 7).mean[0], 0.25f);
}

}  // namespace
}  // namespace lathe::data
