#include "latency/cover.h"

#include <algorithm>
#include <utility>

#include "base/random.h"

namespace lathe::latency {
namespace {

constexpr size_t kPool = 64;
constexpr size_t kFreshPerRound = 16;  // drawing is cheap beside measuring, but not free
constexpr double kUnseen = 1.0;        // a key without any sample
constexpr double kShort = 0.2;         // a key with too few

}  // namespace

Cover::Cover(Draw draw, uint64_t seed, int samples_per_key)
    : draw_(std::move(draw)), seed_(seed), samples_per_key_(samples_per_key) {}

void Cover::AddSamples(const LayerKey& key, int samples) { keys_[key].samples += samples; }

int Cover::keys_wanted() const {
  return static_cast<int>(
      std::ranges::count_if(keys_, [](const auto& key) { return key.second.draw.has_value(); }));
}

int Cover::keys_measured() const {
  return static_cast<int>(std::ranges::count_if(keys_, [](const auto& key) {
    return key.second.draw.has_value() && key.second.samples > 0;
  }));
}

Cover::Candidate Cover::Offer(uint64_t draw) {
  Candidate candidate{.network = draw_(draw), .keys = {}};
  for (const net::Layer& layer : candidate.network.layers) candidate.keys.push_back(KeyOf(layer));
  std::sort(candidate.keys.begin(), candidate.keys.end());
  candidate.keys.erase(std::unique(candidate.keys.begin(), candidate.keys.end()),
                       candidate.keys.end());
  for (const LayerKey& key : candidate.keys) keys_[key].draw = draw;
  return candidate;
}

double Cover::Score(const Candidate& candidate) const {
  double score = 0;
  for (const LayerKey& key : candidate.keys) {
    const int samples = keys_.at(key).samples;
    score += samples == 0 ? kUnseen : samples < samples_per_key_ ? kShort : 0;
  }
  return score;
}

void Cover::Refill() {
  for (Candidate& candidate : pool_) candidate.score = Score(candidate);
  std::stable_sort(pool_.begin(), pool_.end(),
                   [](const auto& a, const auto& b) { return a.score > b.score; });
  while (!pool_.empty() && (pool_.size() > kPool - kFreshPerRound || pool_.back().score == 0))
    pool_.pop_back();
  while (pool_.size() < kPool) {
    pool_.push_back(Offer(SubSeed(seed_, "cover", drawn_++)));
    pool_.back().score = Score(pool_.back());
  }
}

std::optional<net::Network> Cover::Next() {
  Refill();
  const auto best = std::max_element(
      pool_.begin(), pool_.end(), [](const auto& a, const auto& b) { return a.score < b.score; });
  if (best->score > 0) {
    net::Network network = std::move(best->network);
    pool_.erase(best);
    return network;
  }
  // The whole pool is known; what is left are keys of networks that were passed over.
  // The smallest of them, because the map's order is not ours to rely on.
  const std::pair<const LayerKey, Key>* left = nullptr;
  for (const auto& key : keys_) {
    const bool lacks = key.second.draw && key.second.samples < samples_per_key_;
    if (lacks && (left == nullptr || key.first < left->first)) left = &key;
  }
  if (left == nullptr) return {};
  return draw_(*left->second.draw);
}

}  // namespace lathe::latency
