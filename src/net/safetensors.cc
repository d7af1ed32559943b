// The safetensors container: 8 bytes of header length (little endian), a JSON header, the tensors'
// bytes. Format: huggingface/safetensors, README.md. Nothing in the header is believed before it is
// checked against the file's size.
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <numeric>

#include "base/config.h"
#include "base/error.h"
#include "base/file.h"
#include "net/layer_fields.h"
#include "net/weights.h"

namespace lathe::net {
namespace {

static_assert(std::endian::native == std::endian::little,
              "tensors are copied as they lie in memory");

constexpr size_t kLengthBytes = 8;
constexpr uint64_t kMaxHeader = 4 << 20;  // the largest network's is 1 MiB
constexpr size_t kMaxRank = 8;
constexpr size_t kAlignment = 8;  // of the first tensor, as the reference implementation pads
constexpr std::array<std::string_view, 3> kTypes = {"F32", "F16", "BF16"};

float FromHalf(uint16_t bits) {
  const float sign = bits & 0x8000 ? -1.0f : 1.0f;
  const int exponent = (bits >> 10) & 0x1f;
  const int fraction = bits & 0x3ff;
  if (exponent == 0x1f) return fraction != 0 ? std::nanf("") : sign * INFINITY;
  if (exponent == 0) return sign * std::ldexp(static_cast<float>(fraction), -24);
  return sign * std::ldexp(static_cast<float>(fraction + 0x400), exponent - 25);
}

float FromBfloat(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }

std::vector<float> Decode(std::string_view bytes, std::string_view type) {
  if (type == "F32") {
    std::vector<float> values(bytes.size() / sizeof(float));
    if (!bytes.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  }
  std::vector<uint16_t> raw(bytes.size() / sizeof(uint16_t));
  if (!bytes.empty()) std::memcpy(raw.data(), bytes.data(), bytes.size());
  std::vector<float> values(raw.size());
  std::transform(raw.begin(), raw.end(), values.begin(), type == "F16" ? FromHalf : FromBfloat);
  return values;
}

struct Range {
  uint64_t begin = 0, end = 0;
  std::string name;
};

// Reads one entry of the header; `data` is everything after it.
Tensor ReadTensor(const Config& entry, std::string_view data, Range& range) {
  const std::string type = entry.Choice("dtype", kTypes);
  Tensor tensor;
  tensor.shape = entry.Ints("shape", {.min = 0});
  if (tensor.shape.size() > kMaxRank)
    entry.Fail("shape", fmt::format("more than {} dimensions", kMaxRank));
  const std::vector<int64_t> offsets = entry.Ints("data_offsets", {.min = 0});
  entry.Finish();
  if (offsets.size() != 2 || offsets[0] > offsets[1])
    entry.Fail("data_offsets", "expected [begin, end]");
  range.begin = static_cast<uint64_t>(offsets[0]);
  range.end = static_cast<uint64_t>(offsets[1]);
  if (range.end > data.size()) {
    entry.Fail("data_offsets", fmt::format("end at byte {}, but the file has {} bytes of tensors",
                                           range.end, data.size()));
  }
  // Multiplied with a bound, so that no product of sizes can wrap around.
  uint64_t size = type == "F32" ? 4 : 2;
  for (int64_t extent : tensor.shape) {
    if (extent != 0 && size > data.size() / static_cast<uint64_t>(extent)) {
      entry.Fail("shape",
                 fmt::format("[{}] is larger than the file", fmt::join(tensor.shape, ", ")));
    }
    size *= static_cast<uint64_t>(extent);
  }
  if (size != range.end - range.begin) {
    entry.Fail("data_offsets",
               fmt::format("cover {} bytes, but {} of shape [{}] needs {}", range.end - range.begin,
                           type, fmt::join(tensor.shape, ", "), size));
  }
  tensor.values = Decode(data.substr(range.begin, size), type);
  return tensor;
}

// The format allows neither overlaps nor holes.
void CheckCoverage(std::vector<Range> ranges, uint64_t data_size, const std::string& source) {
  std::sort(ranges.begin(), ranges.end(), [](const Range& a, const Range& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  uint64_t end = 0;
  for (const Range& range : ranges) {
    if (range.begin != end) {
      throw Error(ErrorKind::kInput, "{}: tensor '{}' starts at byte {}, which {} at byte {}",
                  source, range.name, range.begin,
                  range.begin < end ? "overlaps the one that ends"
                                    : "leaves a hole after the one that ends",
                  end);
    }
    end = range.end;
  }
  if (end != data_size) {
    throw Error(ErrorKind::kInput, "{}: {} bytes follow the last tensor", source, data_size - end);
  }
}

}  // namespace

Weights ReadSafetensors(const std::filesystem::path& path) {
  const std::string source = path.string();
  const std::string content = ReadFile(path);
  uint64_t header_size = 0;
  if (content.size() < kLengthBytes) {
    throw Error(ErrorKind::kInput, "{}: {} bytes are too few for a safetensors file", source,
                content.size());
  }
  std::memcpy(&header_size, content.data(), kLengthBytes);
  if (header_size > kMaxHeader || header_size > content.size() - kLengthBytes) {
    throw Error(
        ErrorKind::kInput,
        "{}: not a safetensors file: a header of {} bytes in a file of {} (at most {} are read)",
        source, header_size, content.size(), kMaxHeader);
  }
  const std::string_view all = content;
  const std::string_view data = all.substr(kLengthBytes + header_size);
  const ConfigFile header = ConfigFile::ParseJson(all.substr(kLengthBytes, header_size), source);
  const Config root = header.root();
  Weights weights;
  std::vector<Range> ranges;
  for (const std::string& name : root.Keys()) {
    const Config entry = root.Table(name);
    if (name == "__metadata__") {
      for (const std::string& key : entry.Keys()) weights.metadata[key] = entry.String(key);
      continue;
    }
    Range range{.name = name};
    weights.tensors[name] = ReadTensor(entry, data, range);
    ranges.push_back(std::move(range));
  }
  CheckCoverage(std::move(ranges), data.size(), source);
  return weights;
}

void WriteSafetensors(const std::filesystem::path& path, const Weights& weights) {
  std::vector<std::string> entries;
  if (!weights.metadata.empty()) {
    std::vector<std::string> fields;
    for (const auto& [key, value] : weights.metadata)
      fields.push_back(QuoteJson(key) + ":" + QuoteJson(value));
    entries.push_back(fmt::format("\"__metadata__\":{{{}}}", fmt::join(fields, ",")));
  }
  std::string data;
  for (const auto& [name, tensor] : weights.tensors) {
    const int64_t expected =
        std::accumulate(tensor.shape.begin(), tensor.shape.end(), int64_t{1}, std::multiplies<>());
    if (expected != static_cast<int64_t>(tensor.values.size())) {
      throw Error(ErrorKind::kInternal, "{}: tensor '{}' of shape [{}] has {} values",
                  path.string(), name, fmt::join(tensor.shape, ", "), tensor.values.size());
    }
    const size_t size = tensor.values.size() * sizeof(float);
    entries.push_back(fmt::format(
        "{}:{{\"dtype\":\"F32\",\"shape\":[{}],\"data_offsets\":[{},{}]}}", QuoteJson(name),
        fmt::join(tensor.shape, ","), data.size(), data.size() + size));
    data.append(reinterpret_cast<const char*>(tensor.values.data()), size);
  }
  std::string header = fmt::format("{{{}}}", fmt::join(entries, ","));
  header.append((kAlignment - header.size() % kAlignment) % kAlignment, ' ');
  const uint64_t header_size = header.size();
  std::string content(reinterpret_cast<const char*>(&header_size), kLengthBytes);
  content += header;
  content += data;
  WriteFileAtomically(path, content);
}

}  // namespace lathe::net
