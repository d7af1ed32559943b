// Loops over threads whose outcome does not depend on the number of threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace lathe {

// Runs function(begin, end) over [0, count) in blocks of `block`, each once, on up to `threads`
// threads including the caller's. Blocking. Of several exceptions, the one of the lowest block is
// thrown.
template <typename Function>
void ParallelBlocks(size_t count, size_t block, int threads, Function function) {
  const size_t blocks = (count + block - 1) / block;
  std::atomic<size_t> next = 0;
  std::mutex mutex;
  size_t failed_block = blocks;
  std::exception_ptr failure;
  const auto work = [&] {
    for (size_t taken = next++; taken < blocks; taken = next++) {
      try {
        function(taken * block, std::min(count, (taken + 1) * block));
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (taken < failed_block) {
          failed_block = taken;
          failure = std::current_exception();
        }
        next = blocks;  // lower blocks are already taken by somebody
      }
    }
  };
  {
    std::vector<std::jthread> workers;
    const size_t wanted = std::min(static_cast<size_t>(std::max(threads, 1)), blocks);
    for (size_t i = 1; i < wanted; ++i) workers.emplace_back(work);
    work();
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace lathe
