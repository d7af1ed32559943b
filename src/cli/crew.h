// The processes of one data-parallel training: the first starts the others with its own command
// line, or a launcher (srun) starts them all. What those it started say goes to process-N.log in
// the folder, which stays if one of them dies. Use from the main thread.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <thread>
#include <vector>

#include "train/trainer.h"

namespace lathe::cli {

class Crew {
 public:
  // Makes this process a member of a crew of `processes` (1: it works alone) that meets through a
  // file in `folder`. Throws kInput if a launcher has started another number.
  Crew(int processes, const std::filesystem::path& folder);
  ~Crew();  // ends members that are still there
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

  const train::Parallel& parallel() const { return parallel_; }
  bool first() const { return parallel_.rank == 0; }

 private:
  void StartOthers();
  void Watch(const std::stop_token& stop) const;

  std::filesystem::path LogOf(int rank) const;

  const std::filesystem::path folder_;
  train::Parallel parallel_;
  std::vector<pid_t> others_;
  std::jthread watch_;
};

// Whether this process was started as a further member of a crew, which neither reports nor writes.
bool IsFurtherMember();

}  // namespace lathe::cli
