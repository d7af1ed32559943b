#include "data/in_memory.h"

#include <algorithm>

#include "base/error.h"

namespace lathe::data {
namespace {

class InMemoryDataset final : public Dataset {
 public:
  explicit InMemoryDataset(InMemoryImages images) : images_(std::move(images)) {}

  int64_t size() const override { return static_cast<int64_t>(images_.labels.size()); }
  int channels() const override { return images_.c; }
  const std::vector<std::string>& class_names() const override { return images_.class_names; }
  int Label(int64_t index) const override { return images_.labels[static_cast<size_t>(index)]; }
  bool InMemory() const override { return true; }

  Image Load(int64_t index, int /*min_side*/) const override {
    const ImageView view = View(index);
    return {view.h, view.w, view.c, std::vector<uint8_t>(view.pixels, view.pixels + ImageSize())};
  }

  ImageView View(int64_t index) const override {
    return {images_.h, images_.w, images_.c,
            images_.pixels.data() + static_cast<size_t>(index) * ImageSize()};
  }

 private:
  size_t ImageSize() const {
    return static_cast<size_t>(images_.h) * static_cast<size_t>(images_.w) *
           static_cast<size_t>(images_.c);
  }

  const InMemoryImages images_;
};

class SubsetDataset final : public Dataset {
 public:
  SubsetDataset(std::shared_ptr<const Dataset> all, std::vector<int64_t> indices)
      : all_(std::move(all)), indices_(std::move(indices)) {}

  int64_t size() const override { return static_cast<int64_t>(indices_.size()); }
  int channels() const override { return all_->channels(); }
  const std::vector<std::string>& class_names() const override { return all_->class_names(); }
  int Label(int64_t index) const override { return all_->Label(Row(index)); }
  bool InMemory() const override { return all_->InMemory(); }
  Image Load(int64_t index, int min_side) const override {
    return all_->Load(Row(index), min_side);
  }
  void LoadInto(int64_t index, int min_side, Image& image) const override {
    all_->LoadInto(Row(index), min_side, image);
  }
  ImageView View(int64_t index) const override { return all_->View(Row(index)); }
  std::string Name(int64_t index) const override { return all_->Name(Row(index)); }
  uint64_t Fingerprint(int64_t index) const override { return all_->Fingerprint(Row(index)); }
  CacheOptions cache() const override { return all_->cache(); }

 private:
  int64_t Row(int64_t index) const { return indices_[static_cast<size_t>(index)]; }

  const std::shared_ptr<const Dataset> all_;
  const std::vector<int64_t> indices_;
};

}  // namespace

std::shared_ptr<const Dataset> MakeInMemory(InMemoryImages images,
                                            const std::filesystem::path& label_file) {
  const int largest = *std::max_element(images.labels.begin(), images.labels.end());
  if (images.class_names.empty()) {
    for (int i = 0; i <= largest; ++i) images.class_names.push_back(std::to_string(i));
  }
  if (static_cast<size_t>(largest) >= images.class_names.size()) {
    throw Error(ErrorKind::kInput, "{}: has label {}, but there are {} classes (0 to {})",
                label_file.string(), largest, images.class_names.size(),
                images.class_names.size() - 1);
  }
  return std::make_shared<InMemoryDataset>(std::move(images));
}

std::shared_ptr<const Dataset> Subset(std::shared_ptr<const Dataset> all,
                                      std::vector<int64_t> indices) {
  for (const int64_t index : indices) {
    if (index < 0 || index >= all->size()) {
      throw Error(ErrorKind::kInternal, "subset of a data set: index {} of {}", index, all->size());
    }
  }
  return std::make_shared<SubsetDataset>(std::move(all), std::move(indices));
}

std::shared_ptr<const Dataset> Spread(std::shared_ptr<const Dataset> all, int64_t count) {
  const int64_t size = all->size();
  if (count >= size) return all;
  std::vector<int64_t> indices;
  for (int64_t i = 0; i < count; ++i) indices.push_back(i * size / count);
  return Subset(std::move(all), std::move(indices));
}

}  // namespace lathe::data
