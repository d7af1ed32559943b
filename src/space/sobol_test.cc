#include "space/sobol.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "base/error.h"

namespace lathe::space {
namespace {

constexpr size_t kPoints = SobolSequence::kBlock;

std::vector<uint32_t> Coordinates(const SobolSequence& sequence, uint64_t block, size_t dimension) {
  std::vector<uint32_t> coordinates(kPoints);
  sequence.Block(block, dimension, coordinates.data());
  return coordinates;
}

// The first ten points in three dimensions as Joe and Kuo print them on their page.
TEST(SobolSequence, GivesJoeAndKuosFirstPoints) {
  const std::vector<std::vector<double>> expected = {{0, 0, 0},
                                                     {0.5, 0.5, 0.5},
                                                     {0.75, 0.25, 0.25},
                                                     {0.25, 0.75, 0.75},
                                                     {0.375, 0.375, 0.625},
                                                     {0.875, 0.875, 0.125},
                                                     {0.625, 0.125, 0.875},
                                                     {0.125, 0.625, 0.375},
                                                     {0.1875, 0.3125, 0.9375},
                                                     {0.6875, 0.8125, 0.4375}};
  const SobolSequence sequence(3, Scramble::kNone, 0);
  for (size_t d = 0; d < 3; ++d) {
    const std::vector<uint32_t> coordinates = Coordinates(sequence, 0, d);
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_EQ(coordinates[i] * 0x1p-32, expected[i][d]) << "point " << i;
    }
  }
}

// FNV-1a over the 32-bit coordinates of 41-dimensional points, point by point, made with SciPy's
// qmc.Sobol(d=41, scramble=False, bits=32): all of the first 2^16 points, and those around 2^31.
TEST(SobolSequence, EqualsTheReferenceToTheLastBit) {
  const SobolSequence sequence(41, Scramble::kNone, 0);
  const auto hash = [&](uint64_t first_block, uint64_t blocks) {
    uint64_t value = 0xcbf29ce484222325ULL;
    for (uint64_t b = first_block; b < first_block + blocks; ++b) {
      std::vector<std::vector<uint32_t>> block;
      for (size_t d = 0; d < 41; ++d) block.push_back(Coordinates(sequence, b, d));
      for (size_t i = 0; i < kPoints; ++i) {
        for (size_t d = 0; d < 41; ++d) {
          for (int byte = 0; byte < 4; ++byte) {
            value = (value ^ ((block[d][i] >> (8 * byte)) & 0xff)) * 0x100000001b3ULL;
          }
        }
      }
    }
    return value;
  };
  EXPECT_EQ(hash(0, 65536 / kPoints), 0x60a6f2a7e5e1f925u);
  EXPECT_EQ(hash((uint64_t{1} << 31) / kPoints - 1, 2), 0xbd287433965b69e5u);
}

TEST(SobolSequence, PowersOfTwoAreBalancedHoweverScrambled) {
  for (const Scramble scramble : {Scramble::kNone, Scramble::kShift, Scramble::kOwen}) {
    const SobolSequence sequence(41, scramble, 7);
    for (size_t d = 0; d < 41; ++d) {
      std::vector<int> cells(kPoints, 0);
      for (const uint32_t x : Coordinates(sequence, 5, d)) ++cells[x / (uint32_t{1} << 23)];
      EXPECT_THAT(cells, ::testing::Each(1)) << Name(scramble) << ", dimension " << d;
    }
  }
}

// The first two coordinates are a (0, 2)-sequence: also every 2^a x 2^b grid of 512 cells has one
// point per cell.
TEST(SobolSequence, PairsStayBalancedHoweverScrambled) {
  for (const Scramble scramble : {Scramble::kNone, Scramble::kShift, Scramble::kOwen}) {
    const SobolSequence sequence(2, scramble, 3);
    const std::vector<uint32_t> x = Coordinates(sequence, 2, 0), y = Coordinates(sequence, 2, 1);
    for (int bits = 1; bits < 9; ++bits) {
      std::set<std::pair<uint32_t, uint32_t>> cells;
      for (size_t i = 0; i < kPoints; ++i) cells.emplace(x[i] >> (32 - bits), y[i] >> (23 + bits));
      EXPECT_EQ(cells.size(), kPoints) << Name(scramble) << " " << bits;
    }
  }
}

TEST(SobolSequence, SeedsGiveOtherPointsAndTheSameSeedTheSame) {
  for (const Scramble scramble : {Scramble::kShift, Scramble::kOwen}) {
    const auto first = [&](uint64_t seed) {
      return Coordinates(SobolSequence(5, scramble, seed), 0, 4);
    };
    EXPECT_EQ(first(1), first(1));
    EXPECT_NE(first(1), first(2));
    EXPECT_NE(first(1), Coordinates(SobolSequence(5, Scramble::kNone, 1), 0, 4));
  }
}

TEST(SobolSequence, RefusesWhatThereIsNot) {
  EXPECT_THROW(SobolSequence(100000, Scramble::kNone, 0), Error);
  EXPECT_EQ(ParseScramble("owen"), Scramble::kOwen);
  EXPECT_THROW(ParseScramble("oven"), Error);
}

}  // namespace
}  // namespace lathe::space
