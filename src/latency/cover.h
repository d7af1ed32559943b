// Chooses covering networks: from a pool of candidates always the one that teaches most for the
// time it takes. Candidates are random draws whose runs of equal layers are replaced by different
// ones that fit the same shapes, so that one network shows many layer keys, each in changing
// neighbourhoods. Same seed, same draws and same samples: same choices. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/random.h"
#include "latency/lut.h"

namespace lathe::latency {

using Draw = std::function<net::Network(uint64_t draw)>;

class Cover {
 public:
  Cover(Draw draw, uint64_t seed, int samples_per_key);

  // Counts samples of a key that were taken, now or in an earlier session.
  void AddSamples(const LayerKey& key, int samples);
  int samples(const LayerKey& key) const;
  // From now on the candidate with the largest `worth` per square root of its cost comes first;
  // without it the one with most keys that are short of samples.
  void SetWorth(std::function<double(const net::Network&)> worth);
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
  void Learn(uint64_t draw, const net::Network& network);
  net::Network Vary(const net::Network& network, Random& random) const;
  const net::Layer& MostWanted(const net::Layer& like, Random& random) const;
  Candidate Offer(uint64_t draw);
  double Score(const Candidate& candidate) const;
  void Refill();

  Draw draw_;
  uint64_t seed_;
  int samples_per_key_;
  std::function<double(const net::Network&)> worth_;
  uint64_t drawn_ = 0;
  std::unordered_map<LayerKey, Key> keys_;
  // Layers that keep their input's shape, by that shape.
  std::map<net::Shape, std::vector<net::Layer>> exchangeable_;
  std::vector<Candidate> pool_;
};

}  // namespace lathe::latency
