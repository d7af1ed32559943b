#include "report/server.h"

#include <httplib.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <fstream>
#include <thread>

#include "base/error.h"
#include "base/file.h"
#include "report/access.h"
#include "report/feed.h"

namespace lathe::report {
namespace {

constexpr int kMostStreams = 64;     // each holds a thread
constexpr size_t kOtherThreads = 8;  // for pages and files
constexpr char kOrderHeader[] = "X-Lathe-Order";
constexpr size_t kLongestOrder = 1 << 16;
constexpr std::chrono::seconds kPatience{10};  // before a comment finds out whether a tab is gone

// httplib's own options would let two servers share a port, and nobody would learn that it is
// taken.
void ShareNoPort(socket_t socket) {
  const int yes = 1;
  setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
}

std::string_view TypeOf(const fs::path& file) {
  static constexpr std::array kText = {".txt", ".md", ".json", ".jsonl", ".toml", ".csv"};
  const bool text = std::ranges::find(kText, file.extension()) != kText.end();
  return text ? "text/plain; charset=utf-8" : "application/octet-stream";
}

void SendFile(const fs::path& path, httplib::Response& response) {
  const auto file = std::make_shared<std::ifstream>(path, std::ios::binary);
  std::error_code error;
  const uintmax_t size = fs::file_size(path, error);
  if (!*file || error) {
    response.status = 404;
    return;
  }
  response.set_header("Content-Disposition", "attachment");
  response.set_content_provider(
      size, std::string(TypeOf(path)).c_str(),
      [file](size_t offset, size_t length, httplib::DataSink& sink) {
        std::array<char, 1 << 16> buffer;
        file->seekg(static_cast<std::streamoff>(offset));
        file->read(buffer.data(), static_cast<std::streamsize>(std::min(length, buffer.size())));
        return file->gcount() > 0 && sink.write(buffer.data(), static_cast<size_t>(file->gcount()));
      });
}

}  // namespace

struct Server::Impl {
  Impl(std::vector<std::unique_ptr<LiveSource>> studies, ServerOptions given)
      : options(std::move(given)) {
    for (std::unique_ptr<LiveSource>& study : studies) {
      feeds.push_back(std::make_unique<Feed>(std::move(study)));
    }
    if (options.token.empty() && !IsThisMachine(options.host)) {
      throw Error(ErrorKind::kUsage,
                  "--host {}: anyone who reaches this address could see the studies; give --token, "
                  "which they then have to know",
                  options.host);
    }
    if (!options.token.empty() && !IsFitToken(options.token)) {
      throw Error(ErrorKind::kUsage,
                  "--token: take at least 8 letters, digits, '-', '_' or '.', without others");
    }
    http.set_socket_options(&ShareNoPort);
    http.set_payload_max_length(kLongestOrder);
    http.new_task_queue = [] { return new httplib::ThreadPool(kMostStreams + kOtherThreads); };
    http.set_default_headers({{"X-Content-Type-Options", "nosniff"},
                              {"Referrer-Policy", "no-referrer"},
                              {"X-Frame-Options", "DENY"},
                              {"Cache-Control", "no-store"}});
    http.set_pre_routing_handler([this](const auto& request, auto& response) {
      return Admit(request, response) ? httplib::Server::HandlerResponse::Unhandled
                                      : httplib::Server::HandlerResponse::Handled;
    });
    Route();
    Bind();
    listener = std::thread([this] { http.listen_after_bind(); });
    watcher = std::thread([this] { Watch(); });
  }

  ~Impl() {
    {
      const std::lock_guard lock(mutex);
      stopped = true;
    }
    wake.notify_all();
    for (const std::unique_ptr<Feed>& feed : feeds) feed->Close();
    http.stop();
    listener.join();
    watcher.join();
  }

  void Bind() {
    errno = 0;
    port = options.port;
    if (options.port == 0) {
      port = http.bind_to_any_port(options.host);
    } else if (!http.bind_to_port(options.host, options.port)) {
      port = -1;
    }
    if (port >= 0) return;
    if (errno == EADDRINUSE) {
      throw Error(ErrorKind::kUnavailable,
                  "port {} of {} is in use, perhaps by another `lathe serve`; choose another with "
                  "--port, or any that is free with --port 0",
                  options.port, options.host);
    }
    throw Error(ErrorKind::kUnavailable, "cannot listen on {}, port {}: {}", options.host,
                options.port, errno == 0 ? "no such address on this machine" : Reason(errno));
  }

  // Browsers do not tell the ports of a machine apart.
  std::string CookieName() const { return fmt::format("lathe-{}", port); }

  // Answers whoever must not come in.
  bool Admit(const httplib::Request& request, httplib::Response& response) const {
    if (options.token.empty()) {
      if (IsThisMachine(request.get_header_value("Host"))) return true;
      response.status = 403;
      response.set_content("only requests to this machine's own address are answered\n",
                           "text/plain");
      return false;
    }
    const std::string cookie = CookieName();
    if (SameToken(CookieValue(request.get_header_value("Cookie"), cookie), options.token) ||
        SameToken(request.get_header_value("Authorization"), "Bearer " + options.token)) {
      return true;
    }
    if (SameToken(request.get_param_value("token"), options.token)) {
      // Not to be seen in the address any longer.
      response.set_header("Set-Cookie", fmt::format("{}={}; Path=/; HttpOnly; SameSite=Strict",
                                                    cookie, options.token));
      response.set_redirect(request.path.c_str(), 303);
      return false;
    }
    response.status = 401;
    response.set_content("a token is needed: open the address that `lathe serve` printed\n",
                         "text/plain");
    return false;
  }

  // The study that a path names by its number, from 1.
  Feed* FeedOf(const httplib::Request& request) const {
    const std::string number = request.matches[1];
    size_t index = 0;
    std::from_chars(number.data(), number.data() + number.size(), index);
    return index >= 1 && index <= feeds.size() ? feeds[index - 1].get() : nullptr;
  }

  void Route() {
    using httplib::Request, httplib::Response;
    http.Get("/", [this](const Request&, Response& response) {
      if (feeds.size() == 1) return response.set_redirect("/1/");
      std::vector<Glance> glances;
      for (const std::unique_ptr<Feed>& feed : feeds) glances.push_back(feed->Look());
      response.set_content(RenderIndex(glances), "text/html; charset=utf-8");
    });
    http.Get(R"(/(\d{1,6})/)", [this](const Request& request, Response& response) {
      Feed* const feed = FeedOf(request);
      if (feed == nullptr) return void(response.status = 404);
      response.set_content(*feed->Page(), "text/html; charset=utf-8");
    });
    http.Get(R"(/(\d{1,6})/events)", [this](const Request& request, Response& response) {
      Feed* const feed = FeedOf(request);
      feed == nullptr ? void(response.status = 404) : Stream(*feed, response);
    });
    http.Get(R"(/(\d{1,6})/(.+))", [this](const Request& request, Response& response) {
      Feed* const feed = FeedOf(request);
      const std::optional<fs::path> file =
          feed == nullptr ? std::nullopt : FileInside(feed->folder(), request.matches[2].str());
      file ? SendFile(*file, response) : void(response.status = 404);
    });
    http.Post(R"(/(\d{1,6})/orders)", [this](const Request& request, Response& response) {
      Feed* const feed = FeedOf(request);
      feed == nullptr ? void(response.status = 404) : Order(*feed, request, response);
    });
    http.set_error_handler([](const Request&, Response& response) {
      if (!response.body.empty()) return;
      response.set_content(response.status == 404 ? "there is nothing here\n" : "that failed\n",
                           "text/plain");
    });
  }

  void Order(Feed& feed, const httplib::Request& request, httplib::Response& response) const {
    const auto answer = [&](int status, const std::string& text) {
      response.status = status;
      response.set_content(text + "\n", "text/plain; charset=utf-8");
    };
    if (!options.orders) {
      return answer(403, "this server only shows studies; start it with --orders");
    }
    // Another site's page cannot send this header here without our leave, which it does not get.
    if (!request.has_header(kOrderHeader)) {
      return answer(403, fmt::format("the header {} is missing", kOrderHeader));
    }
    try {
      answer(200, feed.Order(request.body));
    } catch (const std::exception& error) {
      answer(400, error.what());
    }
  }

  void Stream(Feed& feed, httplib::Response& response) {
    if (streams >= kMostStreams) {
      response.status = 503;
      response.set_content("too many pages look at these studies; close some\n", "text/plain");
      return;
    }
    ++streams;
    const auto seen = std::make_shared<Feed::Seen>(feed.Join());
    response.set_chunked_content_provider(
        "text/event-stream",
        [&feed, seen](size_t, httplib::DataSink& sink) {
          const std::string events = feed.Next(*seen, kPatience);
          return !events.empty() && sink.write(events.data(), events.size());
        },
        [this](bool) { --streams; });
  }

  void Watch() {
    std::unique_lock lock(mutex);
    while (!stopped) {
      wake.wait_for(lock, options.interval);
      if (stopped) return;
      lock.unlock();
      for (const std::unique_ptr<Feed>& feed : feeds) feed->Poll();
      lock.lock();
    }
  }

  ServerOptions options;
  std::vector<std::unique_ptr<Feed>> feeds;
  httplib::Server http;
  int port = -1;
  std::atomic<int> streams = 0;
  std::mutex mutex;
  std::condition_variable wake;
  bool stopped = false;
  std::thread listener, watcher;
};

Server::Server(std::vector<std::unique_ptr<LiveSource>> studies, ServerOptions options)
    : impl_(std::make_unique<Impl>(std::move(studies), std::move(options))) {}
Server::~Server() = default;

std::string Server::url() const {
  const std::string& host = impl_->options.host;
  return fmt::format("http://{}:{}/{}",
                     host.find(':') == std::string::npos ? host : "[" + host + "]", impl_->port,
                     impl_->options.token.empty() ? "" : "?token=" + impl_->options.token);
}

}  // namespace lathe::report
