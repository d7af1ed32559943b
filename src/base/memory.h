// How this process's memory behaves.
#pragma once

#include <malloc.h>

#include <mutex>

namespace lathe {

// From now on freed blocks stay with the process (up to 1 GiB at the end of the heap) for those
// that come next, of whatever thread. Large matrices come and go by the thousand in training and
// search; giving their pages back to the kernel and clearing new ones took a quarter of a training
// step and half of a Gaussian process's fit.
inline void KeepFreedMemory() {
  static std::once_flag once;
  std::call_once(once, [] {
    mallopt(M_MMAP_MAX, 0);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
  });
}

}  // namespace lathe
