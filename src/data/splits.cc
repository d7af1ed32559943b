#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <sstream>

#include "base/error.h"
#include "base/file.h"
#include "base/random.h"
#include "data/dataset.h"

namespace lathe::data {
namespace {

constexpr std::string_view kFashionMnistFolder = "/usr/share/datasets/fashion-mnist";
const std::array<std::string_view, 4> kKinds{"fashion-mnist", "idx", "image-folder", "cifar"};

const std::array<std::string_view, 2> kUnreadable{"fail", "skip"};

std::vector<std::string> FashionMnistClasses() {
  return {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
          "Sandal",      "Shirt",   "Sneaker",  "Bag",   "Ankle boot"};
}

struct TrainTest {
  std::shared_ptr<const Dataset> train, test;
};

// Splits off `count` images so that every class keeps its share (largest remainders first).
struct Parts {
  std::vector<int64_t> rest, taken;
};

Parts StratifiedSplit(const Dataset& all, int64_t count, uint64_t seed) {
  std::vector<std::vector<int64_t>> by_class(all.class_names().size());
  for (int64_t i = 0; i < all.size(); ++i) {
    by_class[static_cast<size_t>(all.Label(i))].push_back(i);
  }
  struct Quota {
    size_t label;
    int64_t count;
    double remainder;
  };
  std::vector<Quota> quotas;
  int64_t given = 0;
  for (size_t label = 0; label < by_class.size(); ++label) {
    const double exact = static_cast<double>(count) * static_cast<double>(by_class[label].size()) /
                         static_cast<double>(all.size());
    const auto whole = static_cast<int64_t>(exact);
    quotas.push_back({label, whole, exact - static_cast<double>(whole)});
    given += whole;
  }
  std::stable_sort(quotas.begin(), quotas.end(),
                   [](const Quota& a, const Quota& b) { return a.remainder > b.remainder; });
  for (size_t i = 0; given < count; ++i, ++given) ++quotas[i % quotas.size()].count;

  Parts parts;
  for (const Quota& quota : quotas) {
    std::vector<int64_t>& indices = by_class[quota.label];
    Random(SubSeed(seed, "split", quota.label)).Shuffle(std::span<int64_t>(indices));
    const auto cut = indices.begin() + std::min<int64_t>(quota.count, std::ssize(indices));
    parts.taken.insert(parts.taken.end(), indices.begin(), cut);
    parts.rest.insert(parts.rest.end(), cut, indices.end());
  }
  std::sort(parts.taken.begin(), parts.taken.end());
  std::sort(parts.rest.begin(), parts.rest.end());
  return parts;
}

TrainTest Split(const std::shared_ptr<const Dataset>& all, double validation, uint64_t seed) {
  const double wanted =
      validation >= 1 ? validation : validation * static_cast<double>(all->size());
  const auto count = std::max<int64_t>(1, std::llround(wanted));
  const auto classes = std::ssize(all->class_names());
  if (count > all->size() - classes) {
    throw Error(ErrorKind::kInput,
                "[data] validation: {} of {} images would leave too few to train {} classes", count,
                all->size(), classes);
  }
  Parts parts = StratifiedSplit(*all, count, seed);
  return {Subset(all, std::move(parts.rest)), Subset(all, std::move(parts.taken))};
}

// The file, gzipped or not; the gzipped name is what an error should show.
fs::path IdxPath(const fs::path& folder, const std::string& name) {
  return fs::exists(folder / name) ? folder / name : folder / (name + ".gz");
}

TrainTest OpenIdxFolder(const fs::path& folder, const std::vector<std::string>& class_names) {
  const auto open = [&](const std::string& part, std::vector<std::string> names) {
    return OpenIdx(IdxPath(folder, part + "-images-idx3-ubyte"),
                   IdxPath(folder, part + "-labels-idx1-ubyte"), std::move(names));
  };
  TrainTest result;
  result.train = open("train", class_names);
  result.test = open("t10k", result.train->class_names());
  return result;
}

std::vector<std::string> ReadLines(const fs::path& path) {
  std::istringstream text(ReadFile(path));
  std::vector<std::string> lines;
  for (std::string line; std::getline(text, line);) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (!line.empty()) lines.push_back(line);
  }
  return lines;
}

// CIFAR-10 comes as data_batch_1..5.bin and test_batch.bin, CIFAR-100 as train.bin and test.bin.
TrainTest OpenCifarFolder(const fs::path& folder) {
  const auto names = [&](const char* file) {
    return fs::exists(folder / file) ? ReadLines(folder / file) : std::vector<std::string>();
  };
  std::vector<fs::path> batches;
  for (int i = 1; fs::exists(folder / fmt::format("data_batch_{}.bin", i)); ++i) {
    batches.push_back(folder / fmt::format("data_batch_{}.bin", i));
  }
  TrainTest result;
  if (!batches.empty()) {
    result.train = OpenCifar(batches, names("batches.meta.txt"));
    result.test = OpenCifar({folder / "test_batch.bin"}, result.train->class_names());
  } else if (fs::exists(folder / "train.bin")) {
    result.train = OpenCifar({folder / "train.bin"}, names("fine_label_names.txt"));
    result.test = OpenCifar({folder / "test.bin"}, result.train->class_names());
  } else {
    throw Error(ErrorKind::kInput,
                "{}: has neither data_batch_1.bin (CIFAR-10) nor train.bin (CIFAR-100); the "
                "\"binary version\" of the data set is needed",
                folder.string());
  }
  return result;
}

// Folders train/ and val/ (or test/), or one folder of classes that is split by the seed.
TrainTest OpenPictures(const DataConfig& config, uint64_t seed) {
  const ImageFolderOptions options{
      .skip_unreadable = config.unreadable == "skip",
      .cache = {config.cache.empty() ? UserCacheFolder() : config.cache, config.cache_gb}};
  if (!fs::is_directory(config.path / "train")) {
    return Split(OpenImageFolders({config.path}, options)[0], config.validation,
                 SubSeed(seed, "test"));
  }
  const bool val = fs::is_directory(config.path / "val");
  const auto both =
      OpenImageFolders({config.path / "train", config.path / (val ? "val" : "test")}, options);
  TrainTest result{both[0], both[1]};
  if (result.train->class_names() != result.test->class_names()) {
    throw Error(ErrorKind::kInput, "{}: train/ has the classes {}; {}/ has {}",
                config.path.string(), fmt::join(result.train->class_names(), ", "),
                val ? "val" : "test", fmt::join(result.test->class_names(), ", "));
  }
  return result;
}

TrainTest OpenKind(const DataConfig& config, uint64_t seed) {
  if (config.kind == "fashion-mnist") return OpenIdxFolder(config.path, FashionMnistClasses());
  if (config.kind == "idx") return OpenIdxFolder(config.path, {});
  if (config.kind == "cifar") return OpenCifarFolder(config.path);
  if (config.kind == "image-folder") return OpenPictures(config, seed);
  throw Error(ErrorKind::kInput, "[data] kind: \"{}\" is none of {}", config.kind,
              fmt::join(kKinds, ", "));
}

}  // namespace

DataConfig ReadDataConfig(const Config& table) {
  DataConfig config;
  config.kind = table.Choice("kind", kKinds);
  const bool fashion = config.kind == "fashion-mnist";
  config.path =
      fashion ? table.String("path", std::string(kFashionMnistFolder)) : table.String("path");
  config.validation = table.Real("validation", {.fallback = 0.1, .min = 0});
  if (config.validation == 0 ||
      (config.validation > 1 && std::trunc(config.validation) != config.validation)) {
    table.Fail("validation", "should be a number of images, or a share between 0 and 1");
  }
  config.unreadable = table.Choice("unreadable", kUnreadable, config.unreadable);
  config.cache = table.Path("cache", "");
  config.cache_gb = table.Real("cache_gb", {.fallback = config.cache_gb, .min = 0});
  table.Finish();
  return config;
}

std::string ToToml(const DataConfig& config) {
  // A JSON string is a TOML string.
  const auto quoted = [](const fs::path& path) {
    return nlohmann::json(path.string())
        .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  };
  std::string text =
      fmt::format("[data]\nkind = \"{}\"\npath = {}\nvalidation = {}\nunreadable = \"{}\"\n",
                  config.kind, quoted(config.path), config.validation, config.unreadable);
  // Where pixels are kept changes no result; only what differs from the default is named.
  const DataConfig defaults;
  if (config.cache != defaults.cache) text += fmt::format("cache = {}\n", quoted(config.cache));
  if (config.cache_gb != defaults.cache_gb) text += fmt::format("cache_gb = {}\n", config.cache_gb);
  return text;
}

Splits OpenSplits(const DataConfig& config, uint64_t seed) {
  const TrainTest whole = OpenKind(config, seed);
  const TrainTest search = Split(whole.train, config.validation, SubSeed(seed, "validation"));
  return {whole.train, whole.test, search.train, search.test};
}

}  // namespace lathe::data
