#include "space/sobol.h"

#include <array>
#include <bit>
#include <boost/random/sobol.hpp>

#include "base/error.h"
#include "base/random.h"
#include "space/vector_code.h"

namespace lathe::space {
namespace {

constexpr std::array<std::string_view, 3> kNames = {"none", "shift", "owen"};
constexpr int kBits = 32;
constexpr int kBlockBits = 9;
static_assert(SobolSequence::kBlock == size_t{1} << kBlockBits);

uint32_t ReverseBits(uint32_t x) {
  x = ((x >> 1) & 0x55555555u) | ((x & 0x55555555u) << 1);
  x = ((x >> 2) & 0x33333333u) | ((x & 0x33333333u) << 2);
  x = ((x >> 4) & 0x0f0f0f0fu) | ((x & 0x0f0f0f0fu) << 4);
  x = ((x >> 8) & 0x00ff00ffu) | ((x & 0x00ff00ffu) << 8);
  return (x >> 16) | (x << 16);
}

// A random permutation in which each bit depends on the seed and the bits below it alone (Laine and
// Karras 2011, with the constants of Burley 2020, listing 3). On reversed bits that is a nested
// uniform scramble.
uint32_t NestedHash(uint32_t x, uint32_t seed) {
  x ^= x * 0x3d20adeau;
  x += seed;
  x *= (seed >> 16) | 1;
  x ^= x * 0x05526c56u;
  x ^= x * 0x53a22864u;
  return x;
}

LATHE_VECTOR_CODE void OwenBlock(uint32_t* out, const uint32_t* pattern, uint32_t base,
                                 uint32_t seed) {
  for (size_t i = 0; i < SobolSequence::kBlock; ++i) {
    out[i] = ReverseBits(NestedHash(ReverseBits(pattern[i] ^ base), seed));
  }
}

}  // namespace

std::string_view Name(Scramble scramble) { return kNames[static_cast<size_t>(scramble)]; }

Scramble ParseScramble(std::string_view name) {
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name) return static_cast<Scramble>(i);
  }
  throw Error(ErrorKind::kInput, "unknown scrambling '{}'; choices: {}", name,
              fmt::join(kNames, ", "));
}

SobolSequence::SobolSequence(size_t dimensions, Scramble scramble, uint64_t seed)
    : dimensions_(dimensions), scramble_(scramble) {
  constexpr size_t kMost = BOOST_RANDOM_SOBOL_MAX_DIMENSION;
  if (dimensions > kMost) {
    throw Error(ErrorKind::kInput, "Sobol points have at most {} coordinates, not {}", kMost,
                dimensions);
  }
  if (dimensions == 0) return;

  // The direction number of bit k is what changes from point 2^k - 1 to point 2^k. Boost leaves out
  // the origin, so its engine's n-th point is the sequence's point n + 1.
  directions_.resize(dimensions * kBits);
  std::vector<uint32_t> before(dimensions, 0);
  for (int bit = 0; bit < kBits; ++bit) {
    boost::random::sobol_engine<uint32_t, kBits> engine(dimensions);
    if (bit > 0) {
      engine.discard(((uint64_t{1} << bit) - 2) * dimensions);
      for (uint32_t& coordinate : before) coordinate = engine();
    }
    for (size_t d = 0; d < dimensions; ++d) {
      directions_[d * kBits + static_cast<size_t>(bit)] = engine() ^ before[d];
    }
  }

  pattern_.resize(dimensions * kBlock);
  for (size_t d = 0; d < dimensions; ++d) {
    for (size_t i = 0; i < kBlock; ++i) {
      const size_t gray = i ^ (i >> 1);
      uint32_t point = 0;
      for (int bit = 0; bit < kBlockBits; ++bit) {
        if ((gray >> bit) & 1) point ^= Direction(d, bit);
      }
      pattern_[d * kBlock + i] = point;
    }
    seeds_.push_back(static_cast<uint32_t>(SubSeed(seed, "sobol", d) >> 32));
  }
}

uint32_t SobolSequence::Base(uint64_t block, size_t dimension) const {
  // The Gray code is linear: that of the block's first point, XORed with that within the block.
  const uint64_t first = block * kBlock;
  uint32_t base = 0;
  for (uint64_t gray = first ^ (first >> 1); gray != 0; gray &= gray - 1) {
    base ^= Direction(dimension, std::countr_zero(gray));
  }
  return base;
}

SobolSequence::Shifted SobolSequence::View(uint64_t block, size_t dimension) const {
  if (scramble_ == Scramble::kOwen) return {};
  const uint32_t shift = scramble_ == Scramble::kShift ? seeds_[dimension] : 0;
  return {pattern_.data() + dimension * kBlock, Base(block, dimension) ^ shift};
}

void SobolSequence::Block(uint64_t block, size_t dimension, uint32_t* out) const {
  if (const Shifted view = View(block, dimension); view.coordinates != nullptr) {
    for (size_t i = 0; i < kBlock; ++i) out[i] = view.coordinates[i] ^ view.shift;
    return;
  }
  OwenBlock(out, pattern_.data() + dimension * kBlock, Base(block, dimension), seeds_[dimension]);
}

}  // namespace lathe::space
