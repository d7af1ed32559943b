// The prepared pictures of a data set: from its own memory, from the cache, or decoded; the pixels
// are the same. Private to this module. Thread-safe.
#pragma once

#include <memory>

#include "data/augmenter.h"
#include "data/geometry.h"
#include "data/pixel_file.h"

namespace lathe::data {

// Image `index` decoded and prepared; valid until the next call with this workspace.
ImageView GetPrepared(const Dataset& dataset, int64_t index, const Preparation& preparation,
                      Workspace& workspace);

class Source {
 public:
  // May take as long as it takes to decode all pictures, the first time.
  Source(std::shared_ptr<const Dataset> dataset, const Preparation& preparation);

  // Valid until the next call with this workspace.
  ImageView Get(int64_t index, Workspace& workspace) const;

 private:
  const std::shared_ptr<const Dataset> dataset_;
  const Preparation preparation_;
  const std::unique_ptr<const PixelFile> pixels_;  // null: there is no cache
};

}  // namespace lathe::data
