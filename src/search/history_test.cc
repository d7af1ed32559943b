#include "search/history.h"

#include <gtest/gtest.h>

namespace lathe::search {
namespace {

Candidate Of(int gene) { return {.encoding = {gene}, .features = {}, .latency_us = 1}; }

TEST(History, PlacesAreVacantUntilTheyAreFilled) {
  History history;
  for (int i = 0; i < 6; ++i) history.Add(i, Of(i));
  EXPECT_EQ(history.vacant(), 0u);  // nothing has ended yet
  for (int i = 0; i < 3; ++i) history.Tell(i, 0.5);
  EXPECT_EQ(history.vacant(), 3u);
  history.Report(4, 1, 0.7);  // fills none
  history.Add(6, Of(6));
  EXPECT_EQ(history.vacant(), 2u);
  EXPECT_EQ(history.running(), 4u);
}

// A cluster that shrinks does not fill all places again.
TEST(History, PlacesThatAreNotFilledAreForgotten) {
  History history;
  for (int i = 0; i < 6; ++i) history.Add(i, Of(i));
  for (int i = 0; i < 4; ++i) history.Tell(i, 0.5);
  history.Add(6, Of(6));
  history.Tell(4, {});
  EXPECT_EQ(history.vacant(), 1u);
  history.Add(7, Of(7));
  history.Add(8, Of(8));
  EXPECT_EQ(history.vacant(), 0u);
}

}  // namespace
}  // namespace lathe::search
