// What a user asks of a search that runs: a file for each order in the study's folder, which the
// search carries out and then removes. Whoever may write there may give orders, from any machine.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace lathe::study {

enum class OrderKind {
  kStop,     // as Ctrl-C does: running trials save, --resume continues
  kPrune,    // end a trial now, with what it has
  kEnqueue,  // try a network before the proposer is asked again
};

struct Order {
  OrderKind kind = OrderKind::kStop;
  int64_t trial = 0;               // kPrune
  std::vector<int> encoding = {};  // kEnqueue
};

struct GivenOrder {
  Order order;
  std::filesystem::path file;  // remove it when that is done
};

inline constexpr char kOrdersFolder[] = "orders";  // in a study's folder

void GiveOrder(const std::filesystem::path& orders_folder, const Order& order);
// Oldest first. One that cannot be read is set aside with a warning.
std::vector<GivenOrder> ReadOrders(const std::filesystem::path& orders_folder);

}  // namespace lathe::study
