// A file of TFRecords (length, its checksum, content, its checksum), each a protobuf `Event`:
// tensorflow/core/util/event.proto. Five fields are not worth a schema compiler.
#include "report/event_file.h"

#include <array>
#include <cstring>

#include "base/error.h"
#include "base/file.h"

namespace lathe::report {
namespace {

constexpr uint32_t kMaskDelta = 0xa282ead8;
constexpr size_t kHeader = 12, kFooter = 4;  // of a record

template <typename T>
void Put(std::string& to, T value) {  // little endian, as every processor we build for
  std::array<char, sizeof(T)> bytes{};
  std::memcpy(bytes.data(), &value, sizeof(T));
  to.append(bytes.data(), bytes.size());
}

template <typename T>
T Get(std::string_view from) {
  T value;
  std::memcpy(&value, from.data(), sizeof(T));
  return value;
}

void PutVarint(std::string& to, uint64_t value) {
  for (; value >= 0x80; value >>= 7) to += static_cast<char>(value | 0x80);
  to += static_cast<char>(value);
}

void PutBytes(std::string& to, int field, std::string_view bytes) {
  PutVarint(to, static_cast<uint64_t>(field) << 3 | 2);
  PutVarint(to, bytes.size());
  to += bytes;
}

template <typename T>
void PutFixed(std::string& to, int field, T value) {
  PutVarint(to, static_cast<uint64_t>(field) << 3 | (sizeof(T) == 8 ? 1 : 5));
  Put(to, value);
}

uint32_t MaskedCrc(std::string_view bytes) {
  const uint32_t crc = Crc32c(bytes);
  return (crc >> 15 | crc << 17) + kMaskDelta;
}

std::string Record(std::string_view event) {
  std::string record;
  Put(record, static_cast<uint64_t>(event.size()));
  Put(record, MaskedCrc(record));
  record += event;
  Put(record, MaskedCrc(event));
  return record;
}

// The bytes of `file` up to the first record that is not whole.
size_t WholeRecords(std::string_view file) {
  size_t at = 0;
  while (file.size() - at >= kHeader + kFooter) {
    const std::string_view rest = file.substr(at);
    const auto length = Get<uint64_t>(rest);
    if (MaskedCrc(rest.substr(0, 8)) != Get<uint32_t>(rest.substr(8))) break;
    if (length > rest.size() - kHeader - kFooter) break;
    const std::string_view event = rest.substr(kHeader, length);
    if (MaskedCrc(event) != Get<uint32_t>(rest.substr(kHeader + length))) break;
    at += kHeader + length + kFooter;
  }
  return at;
}

std::string VersionEvent() {
  std::string event;
  PutFixed(event, 1, 0.0);
  PutBytes(event, 3, "brain.Event:2");
  return event;
}

}  // namespace

uint32_t Crc32c(std::string_view bytes) {
  static const std::array<uint32_t, 256> table = [] {
    std::array<uint32_t, 256> made{};
    for (uint32_t i = 0; i < made.size(); ++i) {
      uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit) value = value >> 1 ^ (value & 1 ? 0x82f63b78 : 0);
      made[i] = value;
    }
    return made;
  }();
  uint32_t crc = 0xffffffff;
  for (const char c : bytes) crc = table[(crc ^ static_cast<uint8_t>(c)) & 0xff] ^ crc >> 8;
  return ~crc;
}

EventFile::EventFile(const fs::path& folder, std::string_view name)
    : path_(folder / fmt::format("events.out.tfevents.{}", name)) {
  const std::string before = fs::exists(path_) ? ReadFile(path_) : "";
  const size_t whole = WholeRecords(before);
  if (whole == before.size() && whole > 0) return;
  WriteFileAtomically(path_, whole > 0 ? before.substr(0, whole) : Record(VersionEvent()));
}

void EventFile::Add(int64_t step, double seconds, const std::map<std::string, double>& values) {
  std::string summary;
  for (const auto& [tag, value] : values) {
    std::string scalar;
    PutBytes(scalar, 1, tag);
    PutFixed(scalar, 2, static_cast<float>(value));
    PutBytes(summary, 1, scalar);
  }
  std::string event;
  PutFixed(event, 1, seconds);
  PutVarint(event, 2 << 3);
  PutVarint(event, static_cast<uint64_t>(step));
  PutBytes(event, 5, summary);
  AppendBytes(path_, Record(event));
}

}  // namespace lathe::report
