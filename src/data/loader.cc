#include "data/loader.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <mutex>
#include <numeric>
#include <optional>

#include "base/error.h"
#include "base/random.h"
#include "data/prefetch.h"
#include "data/transform.h"

namespace lathe::data {
namespace {

constexpr int64_t kCacheBytes = int64_t{1} << 30;

// Images decoded and resized as far as no random choice is involved. Each is kept in memory after
// its first use while the cache has room: decoding a photograph takes longer than training on it.
class Source {
 public:
  Source(std::shared_ptr<const Dataset> dataset, int resolution, bool random_crop)
      : dataset_(std::move(dataset)), resolution_(resolution), random_crop_(random_crop) {
    const bool ready = dataset_->size() > 0 && dataset_->InMemory() && IsReady(dataset_->Load(0));
    if (!ready) slots_ = std::vector<Slot>(static_cast<size_t>(dataset_->size()));
  }

  // Square and of the resolution; with random crops of any shape.
  Image Get(int64_t index) {
    if (slots_.empty()) return dataset_->Load(index);
    Slot& slot = slots_[static_cast<size_t>(index)];
    if (slot.filled.load(std::memory_order_acquire)) return slot.image;
    Image image = Prepare(dataset_->Load(index, SourceSide()));
    const auto size = static_cast<int64_t>(image.pixels.size());
    const std::scoped_lock lock(mutex_);
    if (!slot.filled && bytes_ + size <= kCacheBytes) {
      bytes_ += size;
      slot.image = image;
      slot.filled.store(true, std::memory_order_release);
    }
    return image;
  }

 private:
  struct Slot {
    std::atomic<bool> filled = false;
    Image image;
  };

  bool IsReady(const Image& image) const {
    return image.h == resolution_ && image.w == resolution_;
  }

  // Twice the resolution leaves enough pixels in the smallest random crop.
  int SourceSide() const { return random_crop_ ? 2 * resolution_ : resolution_; }

  Image Prepare(Image image) const {
    if (!random_crop_)
      return CentreCrop(ResizeShorterSide(std::move(image), resolution_), resolution_);
    if (std::min(image.h, image.w) <= SourceSide()) return image;
    return ResizeShorterSide(std::move(image), SourceSide());
  }

  const std::shared_ptr<const Dataset> dataset_;
  const int resolution_;
  const bool random_crop_;
  std::vector<Slot> slots_;  // empty: no cache
  std::mutex mutex_;
  int64_t bytes_ = 0;
};

}  // namespace

Preprocessing MeasurePreprocessing(const Dataset& train, int resolution, int samples) {
  const int64_t count = std::min<int64_t>(samples, train.size());
  if (count <= 0) throw Error(ErrorKind::kInput, "the training set is empty");
  std::array<double, 3> sum{}, squares{};
  double pixels = 0;
  Preprocessing result{.resolution = resolution, .channels = train.channels()};
  const auto channels = static_cast<size_t>(result.channels);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t index =
        i * train.size() / count;  // spread evenly: data sets are often sorted by class
    const Image image =
        CentreCrop(ResizeShorterSide(train.Load(index, resolution), resolution), resolution);
    for (size_t at = 0; at < image.pixels.size(); at += channels) {
      for (size_t c = 0; c < channels; ++c) {
        const double value = image.pixels[at + c] / 255.0;
        sum[c] += value;
        squares[c] += value * value;
      }
    }
    pixels += static_cast<double>(image.pixels.size() / channels);
  }
  for (size_t c = 0; c < channels; ++c) {
    const double mean = sum[c] / pixels;
    const double deviation = std::sqrt(std::max(0.0, squares[c] / pixels - mean * mean));
    result.mean[c] = static_cast<float>(mean);
    result.std[c] =
        static_cast<float>(std::max(deviation, 1e-3));  // a constant channel divides by something
  }
  return result;
}

Augmentation ReadAugmentation(const Config& table) {
  Augmentation augmentation;
  augmentation.flip = table.Bool("flip", false);
  augmentation.pad_crop =
      static_cast<int>(table.Int("pad_crop", {.fallback = 0, .min = 0, .max = 256}));
  augmentation.random_erasing = table.Real("random_erasing", {.fallback = 0, .min = 0, .max = 1});
  augmentation.random_resized_crop = table.Bool("random_resized_crop", false);
  table.Finish();
  return augmentation;
}

struct Loader::Impl {
  Impl(std::shared_ptr<const Dataset> data, const LoaderOptions& loader_options)
      : dataset(std::move(data)),
        options(loader_options),
        writer(options.preprocessing),
        source(dataset, options.preprocessing.resolution, RandomCrop()) {
    if (dataset->size() == 0) throw Error(ErrorKind::kInput, "the data set is empty");
    if (dataset->channels() != 1 && dataset->channels() != options.preprocessing.channels) {
      throw Error(ErrorKind::kInput, "the data set has {} channels, the network takes {}",
                  dataset->channels(), options.preprocessing.channels);
    }
    // A set smaller than a batch is one batch: dropping it would leave nothing to train on.
    options.batch =
        static_cast<int>(std::min<int64_t>(std::max(1, options.batch), dataset->size()));
    order.resize(static_cast<size_t>(dataset->size()));
    if (options.threads > 0) {
      prefetcher.emplace(options.threads,
                         [this](int64_t number, Batch& batch) { Fill(number, batch); });
    }
  }

  bool RandomCrop() const { return options.training && options.augmentation.random_resized_crop; }

  int64_t Batches() const {
    const int64_t size = dataset->size();
    return options.training ? size / options.batch : (size + options.batch - 1) / options.batch;
  }

  void Start(int new_epoch, int64_t first_batch) {
    if (prefetcher) prefetcher->Cancel();
    epoch = new_epoch;
    next = first_batch;
    std::iota(order.begin(), order.end(), int64_t{0});
    const auto stream = static_cast<uint64_t>(epoch);
    if (options.training)
      Random(SubSeed(options.seed, "order", stream)).Shuffle(std::span<int64_t>(order));
    epoch_seed = SubSeed(options.seed, "augmentation", stream);
    if (prefetcher) prefetcher->SetRange(next, Batches());
  }

  void Fill(int64_t number, Batch& batch) {
    const Preprocessing& pre = options.preprocessing;
    const int64_t begin = number * options.batch;
    batch.count = static_cast<int>(std::min<int64_t>(options.batch, dataset->size() - begin));
    const size_t size = static_cast<size_t>(pre.resolution) * static_cast<size_t>(pre.resolution) *
                        static_cast<size_t>(pre.channels);
    batch.images.resize(static_cast<size_t>(batch.count) * size);
    batch.labels.resize(static_cast<size_t>(batch.count));
    for (size_t i = 0; i < static_cast<size_t>(batch.count); ++i) {
      const int64_t index = order[static_cast<size_t>(begin) + i];
      batch.labels[i] = dataset->Label(index);
      Image image = source.Get(index);
      float* out = batch.images.data() + i * size;
      if (!options.training) {
        writer.Write(image, {}, nullptr, out);
        continue;
      }
      Random random(Mix(epoch_seed ^ Mix(static_cast<uint64_t>(index))));
      if (RandomCrop()) image = RandomResizedCrop(image, pre.resolution, random);
      writer.Write(image, options.augmentation, &random, out);
    }
  }

  const std::shared_ptr<const Dataset> dataset;
  LoaderOptions options;
  const PixelWriter writer;
  Source source;
  std::vector<int64_t> order;
  int epoch = -1;  // none started
  uint64_t epoch_seed = 0;
  int64_t next = 0;
  std::optional<Prefetcher> prefetcher;  // last: its threads use all of the above
};

Loader::Loader(std::shared_ptr<const Dataset> dataset, const LoaderOptions& options)
    : impl_(std::make_unique<Impl>(std::move(dataset), options)) {}

Loader::~Loader() = default;

int64_t Loader::batches_per_epoch() const { return impl_->Batches(); }

void Loader::StartEpoch(int epoch, int64_t first_batch) { impl_->Start(epoch, first_batch); }

bool Loader::Next(Batch& batch) {
  if (impl_->epoch < 0) impl_->Start(0, 0);
  if (impl_->next >= impl_->Batches()) return false;
  const int64_t number = impl_->next++;
  if (impl_->prefetcher) {
    impl_->prefetcher->Take(batch);
  } else {
    impl_->Fill(number, batch);
  }
  return true;
}

}  // namespace lathe::data
