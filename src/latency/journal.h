// What was measured while a LUT is being built, kept beside it as FILE.log until it is finished:
// one JSON line per network, appended at once, so that SIGKILL loses at most the network in hand.
// One thread, one process (the file is locked).
#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <vector>

#include "base/file.h"
#include "latency/drift.h"
#include "latency/measurements.h"

namespace lathe::latency {

class Journal {
 public:
  // Everything of earlier sessions. Times of all sessions are on one clock.
  struct Past {
    std::optional<net::Network> reference;
    std::vector<ReferenceTime> reference_times;
    std::vector<Measurement> measurements;
    std::vector<HeldOut> held_out;
    double measuring_seconds = 0;  // of all sessions, without the pauses between them
    double now_seconds = 0;        // on the sessions' clock
  };

  // Reads and continues `path`, or starts it. An empty path: nothing is kept. Throws kInput when it
  // belongs to another target (naming the differences), another process is writing to it, or a line
  // other than the last is broken.
  Journal(const std::filesystem::path& path, const engine::Fingerprint& target);

  const Past& past() const { return past_; }
  void Add(const net::Network& reference);
  void Add(const ReferenceTime& time);
  void Add(const Measurement& measurement);
  void Add(const HeldOut& held_out);
  // When the LUT is written: what the log has is in it.
  void Remove();

 private:
  struct Session {
    double begin = 0;  // on the sessions' clock
    double zero = 0;   // of that clock, in seconds since 1970
  };
  void Read(const engine::Fingerprint& target);
  void ReadLine(const nlohmann::ordered_json& line, Session& session);
  void Append(const std::string& line);

  std::filesystem::path path_;
  std::unique_ptr<FileLock> lock_;
  Past past_;
};

}  // namespace lathe::latency
