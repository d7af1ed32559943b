// The live page: an HTTP server that shows studies while they run, and reads only unless it is told
// that its users may give orders. Pages get what is new as server-sent events, so an open tab costs
// nothing while nothing happens.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace lathe::report {

// What the list of studies says of one.
struct Glance {
  std::string title, state;  // state: "searching, 4 min left", or what is wrong
  int64_t done = 0, trials = 0;
  double best_accuracy = 0, latency_budget_us = 0;
  std::vector<std::pair<double, double>> front;  // latency (us) and accuracy of trials
};

// One study as the server sees it. Called by one thread at a time.
class LiveSource {
 public:
  virtual ~LiveSource() = default;
  virtual Glance Look() = 0;
  // JSON of what goes on now (live.js shows it). Called every few seconds while someone looks.
  virtual std::string Status() = 0;
  // Differs when Page() would; cheap.
  virtual std::string PageKey() = 0;
  // The whole page, PageKind::kLive; a page with the reason when there is none.
  virtual std::string Page() = 0;
  // Carries out an order, such as {"order": "prune", "trial": 7}; says what will happen. Throws
  // when that cannot be.
  virtual std::string Order(const std::string& json) = 0;
  // Files below it may be downloaded.
  virtual std::filesystem::path folder() const = 0;
};

struct ServerOptions {
  std::string host = "127.0.0.1";
  int port = 0;         // 0: any that is free
  std::string token;    // asked of every request; empty: only requests to this machine are answered
  bool orders = false;  // whether those who see the pages may give them
  std::chrono::milliseconds interval{2000};  // between looks at a study
};

class Server {
 public:
  // Listens. Throws kUsage when others could reach it without a token, kUnavailable when the
  // address or port cannot be had.
  Server(std::vector<std::unique_ptr<LiveSource>> studies, ServerOptions options);
  ~Server();  // stops
  // Where to look: "http://127.0.0.1:8265/", with the token if there is one.
  std::string url() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// A page that says only one thing; it looks again by itself.
std::string RenderMessage(const std::string& title, const std::string& text);

// The list of studies; study i is at "i/", from 1.
std::string RenderIndex(const std::vector<Glance>& studies);

}  // namespace lathe::report
