#include "data/loader.h"

#include <algorithm>
#include <numeric>
#include <optional>

#include "base/error.h"
#include "base/random.h"
#include "data/augmenter.h"
#include "data/mix.h"
#include "data/prefetch.h"
#include "data/source.h"

namespace lathe::data {
namespace {

// Small, so that the threads finish together; even, so that partners of a mix share a part.
constexpr int kPartRows = 8;

// Every batch needs as many rows for each shard.
int TrainingBatch(const LoaderOptions& options, int64_t images) {
  if (options.batch % options.shards != 0) {
    throw Error(ErrorKind::kInput,
                "a batch of {} cannot be divided among {} processes; take a multiple of {}",
                options.batch, options.shards, options.shards);
  }
  // A set smaller than a batch is one batch: dropping it would leave nothing to train on.
  const auto batch = static_cast<int>(std::min<int64_t>(options.batch, images));
  if (batch < options.shards) {
    throw Error(ErrorKind::kInput, "{} images are too few for {} processes", images,
                options.shards);
  }
  return batch / options.shards * options.shards;
}

}  // namespace

struct Loader::Impl {
  // Rows of a batch that this shard gives, and where its first lies in the epoch's order.
  struct Rows {
    int64_t first = 0;
    int begin = 0, end = 0;
  };

  Impl(std::shared_ptr<const Dataset> data, const LoaderOptions& loader_options)
      : dataset(std::move(data)),
        options(Checked(loader_options, *dataset)),
        augmenter(options.preprocessing, options.training ? &options.augmentation : nullptr),
        source(dataset,
               PreparationFor(options.preprocessing, options.augmentation, options.training)),
        workspaces(static_cast<size_t>(std::max(1, options.threads))) {
    order.resize(static_cast<size_t>(dataset->size()));
    if (options.threads > 0) {
      prefetcher.emplace(
          options.threads,
          Prefetcher::Work{
              .begin = [this](int64_t number, Batch& batch) { return Begin(number, batch); },
              .fill = [this](int64_t number, int part, int thread,
                             Batch& batch) { Fill(number, part, thread, batch); }});
    }
  }

  static LoaderOptions Checked(LoaderOptions options, const Dataset& dataset) {
    if (dataset.size() == 0) throw Error(ErrorKind::kInput, "the data set is empty");
    if (dataset.channels() != 1 && dataset.channels() != options.preprocessing.channels) {
      throw Error(ErrorKind::kInput, "the data set has {} channels, the network takes {}",
                  dataset.channels(), options.preprocessing.channels);
    }
    if (options.shard < 0 || options.shard >= options.shards) {
      throw Error(ErrorKind::kInternal, "shard {} of {}", options.shard, options.shards);
    }
    options.batch = std::max(1, options.batch);
    if (options.training) options.batch = TrainingBatch(options, dataset.size());
    return options;
  }

  bool Mixes() const {
    return options.training && (options.augmentation.mixup > 0 || options.augmentation.cutmix > 0);
  }

  int64_t Batches() const {
    const int64_t size = dataset->size();
    return options.training ? size / options.batch : (size + options.batch - 1) / options.batch;
  }

  Rows RowsOf(int64_t number) const {
    const int64_t first = number * options.batch;
    const int64_t count = std::min<int64_t>(options.batch, dataset->size() - first);
    const auto cut = [&](int64_t shard) {
      return static_cast<int>(count * shard / options.shards);
    };
    return {first, cut(options.shard), cut(options.shard + 1)};
  }

  size_t ImageSize() const {
    const Preprocessing& pre = options.preprocessing;
    return static_cast<size_t>(pre.resolution) * static_cast<size_t>(pre.resolution) *
           static_cast<size_t>(pre.channels);
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
    mix_seed = SubSeed(options.seed, "mix", stream);
    if (prefetcher) prefetcher->SetRange(next, Batches());
  }

  BatchMix MixOf(int64_t number) const {
    Random random(Mix(mix_seed ^ Mix(static_cast<uint64_t>(number))));
    return DrawMix(options.augmentation, options.preprocessing.resolution, random);
  }

  // Labels and space; returns the number of parts.
  int Begin(int64_t number, Batch& batch) const {
    const Rows rows = RowsOf(number);
    batch.count = rows.end - rows.begin;
    const auto count = static_cast<size_t>(batch.count);
    batch.images.resize(count * ImageSize());
    batch.labels.resize(count);
    const auto label = [&](int row) {
      return dataset->Label(order[static_cast<size_t>(rows.first + row)]);
    };
    for (size_t i = 0; i < count; ++i) batch.labels[i] = label(rows.begin + static_cast<int>(i));
    batch.partner_labels.clear();
    batch.shares.clear();
    if (Mixes()) {
      const float share = MixOf(number).share;
      for (int row = rows.begin; row < rows.end; ++row) {
        const int partner = row ^ 1;
        const bool alone = partner < rows.begin || partner >= rows.end;
        batch.partner_labels.push_back(label(alone ? row : partner));
        batch.shares.push_back(alone ? 1 : share);
      }
    }
    return rows.end / kPartRows - rows.begin / kPartRows + 1;
  }

  // Parts are cut at multiples of kPartRows of the whole batch.
  void Fill(int64_t number, int part, int thread, Batch& batch) {
    const Rows rows = RowsOf(number);
    const int cut = (rows.begin / kPartRows + part) * kPartRows;
    const int begin = std::max(rows.begin, cut), end = std::min(rows.end, cut + kPartRows);
    Workspace& workspace = workspaces[static_cast<size_t>(thread)];
    const BatchMix mix = Mixes() ? MixOf(number) : BatchMix();
    for (int row = begin; row < end; ++row) {
      const int64_t index = order[static_cast<size_t>(rows.first + row)];
      float* out = batch.images.data() + static_cast<size_t>(row - rows.begin) * ImageSize();
      Random random(Mix(epoch_seed ^ Mix(static_cast<uint64_t>(index))));
      augmenter.Write(source.Get(index, workspace), random, workspace, out);
      if (Mixes() && row % 2 == 1 && row > rows.begin) {
        const Preprocessing& pre = options.preprocessing;
        MixPair(mix, pre.resolution, pre.channels, out - ImageSize(), out);
      }
    }
  }

  const std::shared_ptr<const Dataset> dataset;
  const LoaderOptions options;
  const Augmenter augmenter;
  const Source source;
  std::vector<Workspace> workspaces;  // one for each thread
  std::vector<int64_t> order;
  int epoch = -1;  // none started
  uint64_t epoch_seed = 0, mix_seed = 0;
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
    const int parts = impl_->Begin(number, batch);
    for (int part = 0; part < parts; ++part) impl_->Fill(number, part, 0, batch);
  }
  return true;
}

}  // namespace lathe::data
