// The Sobol sequence as 32-bit integers, at random access and block by block. Immutable after
// construction; thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace lathe::space {

// How the points of a seed differ from the plain sequence. Both keep the sequence's balance: the
// first 2^m points have one point in each of 2^m equal slices of every coordinate.
enum class Scramble {
  kNone,
  kShift,  // digital shift: every coordinate XORed with its own random number
  kOwen,   // nested uniform scrambling (Owen 1995), hash-based (Burley 2020, "Practical hash-based
           // Owen scrambling"); also breaks up the regular gaps between points of a shifted one
};
std::string_view Name(Scramble scramble);       // "none", "shift", "owen"
Scramble ParseScramble(std::string_view name);  // throws kInput

class SobolSequence {
 public:
  static constexpr uint64_t kPoints = uint64_t{1} << 32;
  static constexpr size_t kBlock = 512;

  // Joe and Kuo's direction numbers (new-joe-kuo-6, from Boost), in Gray code order from the origin
  // on: the points of their own program and of SciPy. Throws kInput for more dimensions than there
  // are numbers for. `seed` has no effect without scrambling.
  SobolSequence(size_t dimensions, Scramble scramble, uint64_t seed);

  size_t dimensions() const { return dimensions_; }
  // One coordinate of the points [block * kBlock, (block + 1) * kBlock), times 2^32. `out` holds
  // kBlock numbers.
  void Block(uint64_t block, size_t dimension, uint32_t* out) const;

  // The same as a view, where the coordinates are those of the first block, XORed with one number:
  // all but Owen's scrambling. `coordinates` is null otherwise.
  struct Shifted {
    const uint32_t* coordinates = nullptr;
    uint32_t shift = 0;
  };
  Shifted View(uint64_t block, size_t dimension) const;

 private:
  uint32_t Direction(size_t dimension, int bit) const {
    return directions_[dimension * 32 + static_cast<size_t>(bit)];
  }
  uint32_t Base(uint64_t block, size_t dimension) const;

  size_t dimensions_;
  Scramble scramble_;
  std::vector<uint32_t> directions_;  // dimensions x 32
  std::vector<uint32_t> pattern_;     // dimensions x kBlock: the first block, unscrambled
  std::vector<uint32_t> seeds_;       // of each dimension
};

}  // namespace lathe::space
