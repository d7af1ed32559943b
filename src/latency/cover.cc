#include "latency/cover.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace lathe::latency {
namespace {

constexpr size_t kPool = 64;
constexpr size_t kFreshPerRound = 16;  // drawing is cheap beside measuring, but not free
constexpr int kFirstDraws = 400;       // looked at before the first choice
constexpr double kUnseen = 1.0;        // a key without any sample
constexpr double kShort = 0.2;         // a key with too few
constexpr int kOffers = 4;             // layers looked at to find one that is wanted

bool KeepsShape(const net::Layer& layer) {
  return layer.op != net::Op::kTail && layer.stride == 1 && layer.in == layer.out();
}

// Proportional to the time a network takes: compiling costs about as much as this many
// multiply-accumulates do in all the runs.
double Cost(const net::Network& network) {
  constexpr double kCompiling = 1e9;
  return kCompiling + static_cast<double>(net::Count(network).macs);
}

}  // namespace

Cover::Cover(Draw draw, uint64_t seed, int samples_per_key)
    : draw_(std::move(draw)), seed_(seed), samples_per_key_(samples_per_key) {}

void Cover::AddSamples(const LayerKey& key, int samples) { keys_[key].samples += samples; }

int Cover::samples(const LayerKey& key) const {
  const auto found = keys_.find(key);
  return found == keys_.end() ? 0 : found->second.samples;
}

void Cover::SetWorth(std::function<double(const net::Network&)> worth) {
  worth_ = std::move(worth);
}

int Cover::keys_wanted() const {
  return static_cast<int>(
      std::ranges::count_if(keys_, [](const auto& key) { return key.second.draw.has_value(); }));
}

int Cover::keys_measured() const {
  return static_cast<int>(std::ranges::count_if(keys_, [](const auto& key) {
    return key.second.draw.has_value() && key.second.samples > 0;
  }));
}

void Cover::Learn(uint64_t draw, const net::Network& network) {
  for (const net::Layer& layer : network.layers) {
    Key& key = keys_[KeyOf(layer)];
    if (!key.draw && KeepsShape(layer)) exchangeable_[layer.in].push_back(layer);
    key.draw = draw;
  }
}

const net::Layer& Cover::MostWanted(const net::Layer& like, Random& random) const {
  const auto found = exchangeable_.find(like.in);
  if (found == exchangeable_.end()) return like;
  const net::Layer* best = &like;
  int fewest = keys_.at(KeyOf(like)).samples;
  for (int i = 0; i < kOffers && fewest > 0; ++i) {
    const net::Layer& other = found->second[random.Below(found->second.size())];
    const int samples = keys_.at(KeyOf(other)).samples;
    if (samples >= fewest) continue;
    best = &other;
    fewest = samples;
  }
  return *best;
}

// As long as the network that was drawn: in a shorter one, weights stay in caches from one
// inference to the next that they do not fit in otherwise.
net::Network Cover::Vary(const net::Network& network, Random& random) const {
  net::Network varied = network;
  for (net::Layer& layer : varied.layers) {
    if (KeepsShape(layer)) layer = MostWanted(layer, random);
  }
  return varied;
}

Cover::Candidate Cover::Offer(uint64_t draw) {
  const net::Network network = draw_(draw);
  Learn(draw, network);
  Random random(SubSeed(draw, "vary"));
  Candidate candidate{.network = Vary(network, random), .keys = {}};
  for (const net::Layer& layer : candidate.network.layers) candidate.keys.push_back(KeyOf(layer));
  std::sort(candidate.keys.begin(), candidate.keys.end());
  candidate.keys.erase(std::unique(candidate.keys.begin(), candidate.keys.end()),
                       candidate.keys.end());
  return candidate;
}

double Cover::Score(const Candidate& candidate) const {
  double score = 0;
  bool wanted = false;
  for (const LayerKey& key : candidate.keys) {
    const int samples = keys_.at(key).samples;
    wanted = wanted || samples < samples_per_key_;
    score += samples == 0 ? kUnseen : samples < samples_per_key_ ? kShort : 0;
  }
  if (worth_ && wanted) score = worth_(candidate.network);
  return score / std::sqrt(Cost(candidate.network));
}

void Cover::Refill() {
  for (; drawn_ < kFirstDraws; ++drawn_) {
    const uint64_t draw = SubSeed(seed_, "cover", drawn_);
    Learn(draw, draw_(draw));
  }
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
