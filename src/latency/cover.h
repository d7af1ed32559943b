// Chooses covering networks: from a pool of random draws always the one that shows most layer keys
// still short of samples. Same seed, same draws and same samples: same choices. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <unordered_map>
#include <vector>

#include "latency/lut.h"

namespace lathe::latency {

using Draw = std::function<net::Network(uint64_t draw)>;

class Cover {
 public:
  Cover(Draw draw, uint64_t seed, int samples_per_key);

  // Counts samples of a key that were taken, now or in an earlier session.
  void AddSamples(const LayerKey& key, int samples);
  // The next network to measure; nothing when every key seen has its samples.
  std::optional<net::Network> Next();

  int keys_wanted() const;    // seen in the networks offered so far
  int keys_measured() const;  // those of them with at least one sample

 private:
  struct Key {
    std::optional<uint64_t>
        draw;  // a network that contains it; none for keys of an earlier session's space
    int samples = 0;
  };
  struct Candidate {
    net::Network network;
    std::vector<LayerKey> keys;  // distinct
    double score = 0;
  };
  Candidate Offer(uint64_t draw);
  double Score(const Candidate& candidate) const;
  void Refill();

  Draw draw_;
  uint64_t seed_;
  int samples_per_key_;
  uint64_t drawn_ = 0;
  std::unordered_map<LayerKey, Key> keys_;
  std::vector<Candidate> pool_;
};

}  // namespace lathe::latency
