#include "base/random.h"

#include <bit>
#include <cmath>
#include <numbers>

#include "base/file.h"

namespace lathe {

uint64_t Mix(uint64_t value) {
  value += 0x9e3779b97f4a7c15ULL;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ULL;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebULL;
  return value ^ (value >> 31);
}

uint64_t SubSeed(uint64_t seed, std::string_view name, uint64_t index) {
  return Mix(Mix(seed ^ HashBytes(name)) ^ Mix(index));
}

Random::Random(uint64_t seed) {
  for (uint64_t& word : state_) word = seed = Mix(seed);
}

uint64_t Random::operator()() {
  const uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
  const uint64_t t = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= t;
  state_[3] = std::rotl(state_[3], 45);
  return result;
}

double Random::Uniform() { return static_cast<double>((*this)() >> 11) * 0x1.0p-53; }

double Random::Normal() {
  const double radius = std::sqrt(-2.0 * std::log(1.0 - Uniform()));
  return radius * std::cos(2.0 * std::numbers::pi * Uniform());
}

uint64_t Random::Below(uint64_t bound) {
  const uint64_t limit = max() - max() % bound;
  uint64_t value = (*this)();
  while (value >= limit) value = (*this)();
  return value % bound;
}

}  // namespace lathe
