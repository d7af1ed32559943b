#include "study/orders.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"

namespace lathe::study {
namespace {

using Json = nlohmann::ordered_json;

Order ParseOrder(const Json& json) {
  const std::string kind = json.at("order");
  if (kind == "stop") return {.kind = OrderKind::kStop};
  if (kind == "prune") return {.kind = OrderKind::kPrune, .trial = json.at("trial")};
  if (kind == "enqueue")
    return {.kind = OrderKind::kEnqueue, .encoding = json.at("encoding").get<std::vector<int>>()};
  throw Error(ErrorKind::kInput, "unknown order '{}'", kind);
}

Json ToJson(const Order& order) {
  Json json = {{"format", "lathe-order"}, {"version", 1}};
  switch (order.kind) {
    case OrderKind::kStop:
      json["order"] = "stop";
      break;
    case OrderKind::kPrune:
      json["order"] = "prune";
      json["trial"] = order.trial;
      break;
    case OrderKind::kEnqueue:
      json["order"] = "enqueue";
      json["encoding"] = order.encoding;
      break;
  }
  return json;
}

}  // namespace

void GiveOrder(const fs::path& orders_folder, const Order& order) {
  fs::create_directories(orders_folder);
  const std::string text = ToJson(order).dump() + "\n";
  // By time, so that they are read in the order in which they were given.
  for (int i = 0;; ++i) {
    const fs::path file =
        orders_folder / fmt::format("{:017.6f}-{}-{}.json", UnixSeconds(), getpid(), i);
    if (fs::exists(file)) continue;
    return WriteFileAtomically(file, text);
  }
}

std::vector<GivenOrder> ReadOrders(const fs::path& orders_folder) {
  std::vector<fs::path> files;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(orders_folder, error)) {
    if (entry.path().extension() == ".json") files.push_back(entry.path());
  }
  std::ranges::sort(files);
  std::vector<GivenOrder> orders;
  for (const fs::path& file : files) {
    try {
      orders.push_back({.order = ParseOrder(Json::parse(ReadFile(file))), .file = file});
    } catch (const std::exception& problem) {
      if (!fs::exists(file)) continue;  // somebody was faster
      spdlog::warn("{}: no order of this version ({}); set aside", file.string(), problem.what());
      fs::rename(file, file.string() + ".damaged", error);
    }
  }
  return orders;
}

}  // namespace lathe::study
