// TensorBoard's event files: scalars by step, appended one record at a time. One thread at a time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

namespace lathe::report {

class EventFile {
 public:
  // Continues FOLDER/events.out.tfevents.NAME, without the torn record that a crash may have left
  // at its end, or starts it. Throws kIo.
  EventFile(const std::filesystem::path& folder, std::string_view name);

  // Tags to values of one step, at `seconds` since 1970. Throws kIo; then nothing was added.
  void Add(int64_t step, double seconds, const std::map<std::string, double>& values);

 private:
  std::filesystem::path path_;
};

// CRC-32C (Castagnoli), as the records use it.
uint32_t Crc32c(std::string_view bytes);

}  // namespace lathe::report
