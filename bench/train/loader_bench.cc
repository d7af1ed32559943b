// Images per second that the loader alone gives, as normalised float batches:
//   loader_bench --data FOLDER [--side 96] [--batch 64] [--threads 0] [--augment full] [--cache
//   none] [--epochs 3]
// FOLDER is an ImageFolder of classes. full: random resized crop, flip, RandAugment 2 at 9 +- 0.5,
// random erasing 0.2. light: crop and flip. none: evaluation. With a cache folder the pictures are
// decoded before the first epoch (open_seconds); "none" decodes in every epoch. Prints one JSON
// object.
#include <algorithm>
#include <chrono>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "data/loader.h"

namespace {

using namespace lathe;
using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::map<std::string, std::string> ReadFlags(int argc, char** argv) {
  std::map<std::string, std::string> flags{
      {"--side", "96"},    {"--batch", "64"}, {"--threads", "0"}, {"--augment", "full"},
      {"--cache", "none"}, {"--epochs", "3"}, {"--data", ""}};
  for (int i = 1; i + 1 < argc; i += 2) {
    if (!flags.contains(argv[i])) throw Error(ErrorKind::kUsage, "unknown flag {}", argv[i]);
    flags[argv[i]] = argv[i + 1];
  }
  if (flags["--data"].empty() || argc % 2 == 0)
    throw Error(ErrorKind::kUsage, "usage: see loader_bench.cc");
  return flags;
}

int Run(int argc, char** argv) {
  std::map<std::string, std::string> flags = ReadFlags(argc, argv);
  const std::string augment = flags["--augment"];
  data::ImageFolderOptions folder;
  if (flags["--cache"] != "none") folder.cache = {.folder = flags["--cache"], .gb = 100};

  const Clock::time_point start = Clock::now();
  const auto dataset = flags["--cache"] == "none"
                           ? data::OpenImageFolder(flags["--data"])
                           : data::OpenImageFolders({flags["--data"]}, folder)[0];
  data::LoaderOptions options;
  options.preprocessing = {.resolution = std::stoi(flags["--side"]),
                           .channels = 3,
                           .mean = {0.485f, 0.456f, 0.406f},
                           .std = {0.229f, 0.224f, 0.225f}};
  options.augmentation = {.flip = true, .random_resized_crop = true};
  if (augment == "full") {
    options.augmentation.rand_augment = 2;
    options.augmentation.random_erasing = 0.2;
  }
  options.batch = std::stoi(flags["--batch"]);
  options.threads = std::stoi(flags["--threads"]);
  options.training = augment != "none";
  data::Loader loader(dataset, options);
  const double open_seconds = SecondsSince(start);

  std::vector<double> rates;
  double first_batch_seconds = 0;
  data::Batch batch;
  for (int epoch = 0; epoch < std::stoi(flags["--epochs"]); ++epoch) {
    const Clock::time_point begin = Clock::now();
    int64_t images = 0;
    loader.StartEpoch(epoch);
    while (loader.Next(batch)) {
      if (epoch == 0 && images == 0) first_batch_seconds = SecondsSince(begin);
      images += batch.count;
    }
    rates.push_back(static_cast<double>(images) / SecondsSince(begin));
  }
  std::vector<double> sorted = rates;
  std::sort(sorted.begin(), sorted.end());
  const nlohmann::json result{{"images_per_second", sorted[sorted.size() / 2]},
                              {"per_epoch", rates},
                              {"open_seconds", open_seconds},
                              {"first_batch_seconds", first_batch_seconds},
                              {"images", dataset->size()},
                              {"resolution", options.preprocessing.resolution},
                              {"batch", options.batch},
                              {"threads", options.threads},
                              {"augment", augment},
                              {"cached", flags["--cache"] != "none"}};
  std::cout << result.dump() << "\n";
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return Run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "loader_bench: " << error.what() << "\n";
    return 1;
  }
}
