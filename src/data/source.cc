#include "data/source.h"

#include "data/pixel_cache.h"

namespace lathe::data {

ImageView GetPrepared(const Dataset& dataset, int64_t index, const Preparation& preparation,
                      Workspace& workspace) {
  const ImageView view = dataset.View(index);
  if (view.pixels != nullptr) return Prepare(view, preparation, workspace.prepared);
  dataset.LoadInto(index, preparation.side, workspace.decoded);
  return Prepare(workspace.decoded, preparation, workspace.prepared);
}

Source::Source(std::shared_ptr<const Dataset> dataset, const Preparation& preparation)
    : dataset_(std::move(dataset)),
      preparation_(preparation),
      pixels_(OpenPixels(*dataset_, preparation_)) {}

ImageView Source::Get(int64_t index, Workspace& workspace) const {
  if (pixels_ != nullptr) {
    if (const ImageView view = pixels_->View(index); view.pixels != nullptr) return view;
  }
  return GetPrepared(*dataset_, index, preparation_, workspace);
}

}  // namespace lathe::data
