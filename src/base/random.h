// Seeded random streams that give the same numbers on every machine and standard library. Not for
// cryptography. A stream is a value: copy it to fork it. One thread at a time.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

namespace lathe {

// Mixes 64 bits (SplitMix64 finaliser, Steele et al. 2014). Use it to derive independent seeds:
// Mix(seed ^ Mix(index)).
uint64_t Mix(uint64_t value);

// A seed for the sub-stream `name` (and number `index`) of `seed`, for example SubSeed(seed,
// "trial", 17).
uint64_t SubSeed(uint64_t seed, std::string_view name, uint64_t index = 0);

// xoshiro256** (Blackman and Vigna 2018). Satisfies UniformRandomBitGenerator.
class Random {
 public:
  using result_type = uint64_t;
  explicit Random(uint64_t seed);

  static constexpr uint64_t min() { return 0; }
  static constexpr uint64_t max() { return ~uint64_t{0}; }
  uint64_t operator()();

  double Uniform();                // in [0, 1)
  double Normal();                 // standard normal, Box-Muller
  uint64_t Below(uint64_t bound);  // in [0, bound), bound > 0, without modulo bias

  template <typename T>
  void Shuffle(std::span<T> values) {  // Fisher-Yates
    for (size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[Below(i)]);
  }

  // The whole state, for checkpoints.
  std::array<uint64_t, 4> state() const { return state_; }
  void set_state(const std::array<uint64_t, 4>& state) { state_ = state; }

 private:
  std::array<uint64_t, 4> state_;
};

}  // namespace lathe
