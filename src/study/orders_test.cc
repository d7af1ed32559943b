#include "study/orders.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "base/temp_folder_testing.h"

namespace lathe::study {
namespace {

TEST(OrdersTest, AreReadInTheOrderTheyWereGiven) {
  const TempFolder temp;
  const fs::path folder = temp / "orders";
  EXPECT_TRUE(ReadOrders(folder).empty()) << "nobody has given any";
  GiveOrder(folder, {.kind = OrderKind::kPrune, .trial = 12});
  GiveOrder(folder, {.kind = OrderKind::kEnqueue, .encoding = {3, 0, 7}});
  GiveOrder(folder, {.kind = OrderKind::kStop});
  const std::vector<GivenOrder> orders = ReadOrders(folder);
  ASSERT_EQ(orders.size(), 3u);
  EXPECT_EQ(orders[0].order.kind, OrderKind::kPrune);
  EXPECT_EQ(orders[0].order.trial, 12);
  EXPECT_EQ(orders[1].order.kind, OrderKind::kEnqueue);
  EXPECT_EQ(orders[1].order.encoding, (std::vector<int>{3, 0, 7}));
  EXPECT_EQ(orders[2].order.kind, OrderKind::kStop);
  fs::remove(orders[0].file);
  EXPECT_EQ(ReadOrders(folder).size(), 2u);
}

TEST(OrdersTest, WhatIsNoneIsSetAside) {
  const TempFolder temp;
  for (const char* text : {"{", "{}", R"({"order": "dance"})", R"({"order": "prune"})"}) {
    WriteFileAtomically(temp / "1.json", text);
    EXPECT_TRUE(ReadOrders(temp.path()).empty()) << text;
    EXPECT_FALSE(fs::exists(temp / "1.json"));
    EXPECT_TRUE(fs::exists(temp / "1.json.damaged"));
  }
  WriteFileAtomically(temp / "note.txt", "not for us");
  EXPECT_TRUE(ReadOrders(temp.path()).empty());
  EXPECT_TRUE(fs::exists(temp / "note.txt"));
}

}  // namespace
}  // namespace lathe::study
