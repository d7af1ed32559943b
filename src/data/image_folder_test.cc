#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/temp_folder_testing.h"
#include "data/dataset.h"
#include "data/pictures_testing.h"

namespace lathe::data {
namespace {

std::vector<uint8_t> FirstPixel(const Image& image) {
  return {image.pixels.begin(), image.pixels.begin() + 3};
}

TEST(ImageFolderTest, DecodesEveryKindToRgbInSortedClasses) {
  const TempFolder folder;
  WriteFileAtomically(folder / "b/grey.jpg", EncodeJpeg(40, 64, 1, 90));
  WriteFileAtomically(folder / "b/rgb.JPEG", EncodeJpeg(64, 48, 3, 60));
  WriteFileAtomically(folder / "a/grey.png", EncodePng(5, 4, SPNG_COLOR_TYPE_GRAYSCALE, 1));
  WriteFileAtomically(folder / "a/rgba.png", EncodePng(6, 4, SPNG_COLOR_TYPE_TRUECOLOR_ALPHA, 4));
  WriteFileAtomically(folder / "a/notes.txt", "not a picture");
  WriteFileAtomically(folder / "a/.hidden.png", "not one either");
  const auto data = OpenImageFolder(folder.path());
  ASSERT_EQ(data->size(), 4);
  EXPECT_EQ(data->class_names(), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(data->Label(1), 0);
  EXPECT_EQ(data->Label(2), 1);
  EXPECT_EQ(data->Name(2), (folder / "b/grey.jpg").string());
  EXPECT_EQ(FirstPixel(data->Load(0)), (std::vector<uint8_t>{40, 40, 40}));
  EXPECT_EQ(FirstPixel(data->Load(1)), (std::vector<uint8_t>{40, 80, 120}));
  const Image grey = data->Load(2);
  EXPECT_EQ(grey.h, 40);
  EXPECT_EQ(grey.w, 64);
  EXPECT_NEAR(grey.pixels[0], 90, 2);
  EXPECT_EQ(grey.c, 3);
  const Image rgb = data->Load(3);
  EXPECT_NEAR(rgb.pixels[0], 200, 4);
  EXPECT_NEAR(rgb.pixels[1], 60, 4);
}

TEST(ImageFolderTest, DecodesJpegsNoLargerThanNeeded) {
  const TempFolder folder;
  WriteFileAtomically(folder / "a/x.jpg", EncodeJpeg(160, 240, 3, 60));
  WriteFileAtomically(folder / "b/x.jpg", EncodeJpeg(161, 240, 3, 60));
  const auto data = OpenImageFolder(folder.path());
  EXPECT_EQ(data->Load(0, 0).h, 160);
  EXPECT_EQ(data->Load(0, 81).h, 160);
  EXPECT_EQ(data->Load(0, 80).h, 80);
  EXPECT_EQ(data->Load(0, 20).w, 30);
  EXPECT_EQ(data->Load(0, 1000).h, 160);
}

TEST(ImageFolderTest, ExplainsBadPictures) {
  const TempFolder folder;
  const std::string jpeg = EncodeJpeg(64, 64, 3, 60),
                    png = EncodePng(16, 16, SPNG_COLOR_TYPE_TRUECOLOR, 3);
  WriteFileAtomically(folder / "a/1.jpg", jpeg.substr(0, jpeg.size() - 30));
  WriteFileAtomically(folder / "a/2.jpg", jpeg.substr(0, 40));
  WriteFileAtomically(folder / "a/3.jpg", "GIF89a...");
  WriteFileAtomically(folder / "a/4.png", png.substr(0, png.size() - 30));
  WriteFileAtomically(folder / "b/5.png", "");
  const auto data = OpenImageFolder(folder.path());
  const auto expect = [&](int64_t index, const std::string& message) {
    ExpectError(ErrorKind::kInput, message, [&] { data->Load(index); });
  };
  expect(0, "1.jpg: truncated JPEG");
  expect(1, "2.jpg: ");
  expect(2, "3.jpg: neither a JPEG nor a PNG");
  expect(3, "4.png: not a readable PNG");
  expect(4, "5.png: is empty (0 bytes)");
}

TEST(ImageFolderTest, ExplainsBadFolders) {
  const TempFolder folder;
  ExpectError(ErrorKind::kInput, "nowhere: no such folder",
              [&] { OpenImageFolder(folder / "nowhere"); });
  WriteFileAtomically(folder / "a/x.png", "x");
  ExpectError(ErrorKind::kInput, "has 1 class folders", [&] { OpenImageFolder(folder.path()); });
  MakeFolder(folder / "b");
  ExpectError(ErrorKind::kInput, "b: the class has no pictures",
              [&] { OpenImageFolder(folder.path()); });
}

TEST(ImageFolderTest, ReadsRealPhotographs) {
  const fs::path flowers = fs::path(LATHE_SOURCE_DIR) / "../shared/data/flowers";
  if (!fs::exists(flowers)) GTEST_SKIP() << "no photographs in " << flowers;
  const auto data = OpenImageFolder(flowers / "val");
  ASSERT_EQ(data->size(), 250);
  EXPECT_EQ(data->class_names().front(), "daisy");
  for (int64_t i = 0; i < data->size(); i += 10) {
    const Image image = data->Load(i, 64);
    EXPECT_GE(std::min(image.h, image.w), 64);
    EXPECT_EQ(image.pixels.size(), static_cast<size_t>(image.h * image.w * 3));
  }
}

// Two classes of three pictures each, in a folder with odd names.
class CheckTest : public testing::Test {
 protected:
  CheckTest() {
    for (const char* name :
         {"a/1.jpg", "a/2.jpg", "a/3.jpg", "b/1.jpg", "b/2.png", "b/\xff \n.jpg"}) {
      Write(name, good_);
    }
  }
  void Write(const std::string& name, const std::string& text) {
    WriteFileAtomically(folder_ / ("set/" + name), text);
  }
  std::shared_ptr<const Dataset> Open(bool skip = false) {
    return OpenImageFolders({folder_ / "set"},
                            {.skip_unreadable = skip, .cache = {.folder = folder_ / "cache"}})[0];
  }
  std::string OpenError() {
    return MessageOf(ErrorKind::kInput, [&] { Open(); });
  }
  TempFolder folder_;
  const std::string good_ = EncodeJpeg({.h = 32, .w = 32, .value = [](int x, int y, int c) {
                                          return (x * 7 + y * 31 + c * 90) % 256;
                                        }});
};

TEST_F(CheckTest, ListsEveryUnreadableFileOnce) {
  Write("a/2.jpg", good_.substr(0, good_.size() - 20));
  Write("b/1.jpg", "hello");
  Write("b/\xff \n.jpg", "");
  fs::create_symlink(folder_ / "nowhere", folder_ / "set/a/4.jpg");
  fs::create_symlink(folder_ / "set/b/5.jpg", folder_ / "set/b/5.jpg");
  ASSERT_EQ(mkfifo((folder_ / "set/b/6.jpg").c_str(), 0600), 0);
  const std::string message = OpenError();
  for (const char* part :
       {"6 of 9 pictures cannot be read:", "a/2.jpg: truncated JPEG",
        "a/4.jpg: No such file or directory",
        "b/1.jpg: neither a JPEG nor a PNG, whatever its name",
        "b/5.jpg: Too many levels of symbolic links", "b/6.jpg: not a regular file",
        "b/\\xff \\x0a.jpg: is empty (0 bytes)", "unreadable = \"skip\""}) {
    EXPECT_THAT(message, testing::HasSubstr(part));
  }
  EXPECT_LT(message.find("a/2.jpg"), message.find("a/4.jpg"));
  EXPECT_EQ(OpenError(), message);  // nor does the record of the first time hide it
}

TEST_F(CheckTest, SkippingIsAsIfTheFilesNeverExisted) {
  const auto whole = Open();
  ASSERT_EQ(whole->size(), 6);
  Write("a/2.jpg", "hello");
  const auto rest = Open(true);
  ASSERT_EQ(rest->size(), 5);
  fs::remove(folder_ / "set/a/2.jpg");
  const auto without = Open();
  ASSERT_EQ(without->size(), 5);
  for (int64_t i = 0; i < 5; ++i) {
    EXPECT_EQ(rest->Fingerprint(i), without->Fingerprint(i));
    EXPECT_EQ(rest->Label(i), without->Label(i));
  }
  for (const char* name : {"a/1.jpg", "a/3.jpg"}) Write(name, "hello");
  ExpectError(ErrorKind::kInput, "set/a: none of the class's pictures can be read",
              [&] { Open(true); });
}

TEST_F(CheckTest, ListsNoMoreThanTwenty) {
  for (int i = 10; i < 40; ++i) Write(fmt::format("a/{}.jpg", i), "hello");
  const std::string message = OpenError();
  EXPECT_THAT(message, testing::HasSubstr("30 of 36 pictures"));
  EXPECT_THAT(message, testing::HasSubstr("29.jpg"));
  EXPECT_THAT(message, testing::Not(testing::HasSubstr("30.jpg")));
  EXPECT_THAT(message, testing::HasSubstr("... and 10 more"));
}

// Puts back the time that a file was changed, so that only its content differs.
void SetTime(const fs::path& path, const struct stat& info) {
  const timespec times[2] = {info.st_atim, info.st_mtim};
  ASSERT_EQ(utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
}

TEST_F(CheckTest, ReadsOnlyWhatChanged) {
  Open();
  // Damaged behind its back, with size and time unchanged: only a second reading would see it.
  const fs::path path = folder_ / "set/a/1.jpg";
  struct stat info {};
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  Write("a/1.jpg", std::string(good_.size(), 'x'));
  SetTime(path, info);
  EXPECT_EQ(Open()->size(), 6);
  ExpectError(ErrorKind::kInput, "it could be read when the data was opened",
              [&] { Open()->Load(0); });
  // Without the record it is read again; so it is with a damaged one.
  for (const auto& entry : fs::directory_iterator(folder_ / "cache")) {
    if (entry.path().extension() == ".lock") continue;
    std::string text = ReadFile(entry.path());
    text.back() = static_cast<char>(text.back() ^ 1);
    WriteFileAtomically(entry.path(), text);
  }
  EXPECT_THAT(OpenError(), testing::HasSubstr("1 of 6 pictures"));
}

TEST_F(CheckTest, AFileThatVanishesIsNamed) {
  const auto data = Open();
  fs::remove(folder_ / "set/b/1.jpg");
  ExpectError(ErrorKind::kInput, "set/b/1.jpg: cannot be read: No such file or directory",
              [&] { data->Load(3); });
  fs::remove(folder_ / "set/b/2.png");
  MakeFolder(folder_ / "set/b/2.png");
  ExpectError(ErrorKind::kInput, "set/b/2.png: cannot be read: Is a directory",
              [&] { data->Load(4); });
}

TEST_F(CheckTest, GoesOnWhereNothingCanBeKept) {
  WriteFileAtomically(folder_ / "file", "x");
  const auto data =
      OpenImageFolders({folder_ / "set"}, {.cache = {.folder = folder_ / "file/cache"}})[0];
  EXPECT_EQ(data->size(), 6);
}

TEST_F(CheckTest, FilesWithoutReadPermissionAreListed) {
  if (geteuid() == 0) GTEST_SKIP() << "root may read everything";
  fs::permissions(folder_ / "set/a/1.jpg", fs::perms::none);
  EXPECT_THAT(OpenError(), testing::HasSubstr("a/1.jpg: cannot be read: Permission denied"));
}

TEST(ImageFolderTest, LinksThatGoRoundEndTheScan) {
  const TempFolder folder;
  WriteFileAtomically(folder / "a/1.jpg", EncodeJpeg(8, 8, 3, 60));
  WriteFileAtomically(folder / "b/1.jpg", EncodeJpeg(8, 8, 3, 60));
  fs::create_directory_symlink(folder.path(), folder / "a/up.jpg");
  EXPECT_EQ(OpenImageFolder(folder.path())->size(), 2);
  fs::create_directory_symlink(folder.path(), folder / "c");
  ExpectError(ErrorKind::kInput, "c: the class has no pictures",
              [&] { OpenImageFolder(folder.path()); });
}

TEST(ImageFolderTest, ClassNamesHaveToPrint) {
  const TempFolder folder;
  WriteFileAtomically(folder / "a/1.jpg", "x");
  WriteFileAtomically(folder / "b\xff/1.jpg", "x");
  ExpectError(ErrorKind::kInput, "b\\xff: a class's name has to be printable UTF-8",
              [&] { OpenImageFolder(folder.path()); });
}

}  // namespace
}  // namespace lathe::data
