#include "data/decode.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/error.h"
#include "base/file.h"
#include "data/exif.h"

namespace lathe::data {
namespace {

// The length of the printable character at the front of `text`: 0 for a control character or what
// is no UTF-8 (RFC 3629).
size_t PrintableLength(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = byte(0);
  if (first < 0x80) return first >= 0x20 && first != 0x7f ? 1 : 0;
  const size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  const uint8_t second = byte(1);
  const bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
  const bool outside = (first == 0xed && second >= 0xa0) || (first == 0xf4 && second >= 0x90);
  const bool control = first == 0xc2 && second < 0xa0;
  return overlong || outside || control ? 0 : length;
}

}  // namespace

std::string Shown(const std::filesystem::path& path) {
  const std::string& text = path.native();
  std::string shown;
  for (size_t i = 0; i < text.size();) {
    const size_t length = PrintableLength(std::string_view(text).substr(i));
    if (length == 0) {
      shown += fmt::format("\\x{:02x}", static_cast<uint8_t>(text[i++]));
    } else {
      shown += text.substr(i, length);
      i += length;
    }
  }
  return shown;
}

bool IsPrintable(std::string_view text) {
  while (!text.empty()) {
    const size_t length = PrintableLength(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string ReadPicture(const std::filesystem::path& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  std::string bytes;
  struct stat info {};
  bool read_all = fd >= 0 && fstat(fd, &info) == 0;
  if (read_all) bytes.resize(static_cast<size_t>(info.st_size));
  for (size_t used = 0; read_all && used < bytes.size();) {
    const ssize_t got = read(fd, bytes.data() + used, bytes.size() - used);
    if (got < 0 && errno == EINTR) continue;
    read_all = got >= 0;
    if (got == 0) bytes.resize(used);  // somebody cut it just now
    if (got > 0) used += static_cast<size_t>(got);
  }
  const int reason = errno;
  if (fd >= 0) close(fd);
  if (!read_all) {
    throw Error(ErrorKind::kInput, "{}: cannot be read: {}", Shown(path), Reason(reason));
  }
  return bytes;
}

void DecodeImage(std::string_view bytes, int min_side, const std::filesystem::path& path,
                 Image& image) {
  int orientation = 1;
  if (bytes.empty()) {
    throw Error(ErrorKind::kInput, "{}: is empty (0 bytes); fetch or copy it again", Shown(path));
  }
  if (bytes.starts_with("\xff\xd8\xff")) {
    DecodeJpeg(bytes, min_side, path, image, orientation);
  } else if (bytes.starts_with("\x89PNG")) {
    DecodePng(bytes, path, image, orientation);
  } else {
    throw Error(ErrorKind::kInput,
                "{}: neither a JPEG nor a PNG, whatever its name says ({} bytes)", Shown(path),
                bytes.size());
  }
  MakeUpright(orientation, image);
}

}  // namespace lathe::data
