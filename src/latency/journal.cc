#include "latency/journal.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/clock.h"
#include "base/error.h"

namespace lathe::latency {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kJournalFormat = "lathe-lut-log";
constexpr int kJournalVersion = 1;

fs::path LockOf(fs::path path) { return path += ".lock"; }

Json KeysJson(const std::vector<net::Layer>& layers) {
  Json keys = Json::array();
  for (const net::Layer& layer : layers) keys.push_back(KeyOf(layer));
  return keys;
}

std::vector<net::Layer> Layers(const Json& keys) {
  std::vector<net::Layer> layers;
  for (const Json& key : keys) layers.push_back(LayerOf(key.get<std::string>()));
  return layers;
}

net::Network NetworkOf(const Json& keys) {
  net::Network network{.name = "", .input = {}, .layers = Layers(keys)};
  if (!network.layers.empty()) network.input = network.layers.front().in;
  net::Validate(network);
  return network;
}

// A latency; 0 stands for one that is not there.
double Latency(const Json& json) {
  const double us = json.get<double>();
  if (!std::isfinite(us) || us < 0) throw Error(ErrorKind::kInput, "{} us is not a latency", us);
  return us;
}

std::vector<double> Latencies(const Json& list) {
  std::vector<double> values;
  for (const Json& value : list) values.push_back(Latency(value));
  return values;
}

Measurement MeasurementOf(const Json& line) {
  Measurement measurement;
  measurement.seconds = line.at("at");
  measurement.layers = Layers(line.at("layers"));
  measurement.layer_us = Latencies(line.at("layer_us"));
  for (const Json& nodes : line.at("node_us")) {
    measurement.node_us.push_back(Latencies(nodes));
  }
  measurement.total_us = Latency(line.at("total_us"));
  measurement.spread = line.at("spread");
  if (measurement.layer_us.size() != measurement.layers.size() ||
      measurement.node_us.size() != measurement.layers.size()) {
    throw Error(ErrorKind::kInput, "not one latency per layer");
  }
  return measurement;
}

}  // namespace

Journal::Journal(const fs::path& path, const engine::Fingerprint& target) : path_(path) {
  if (path_.empty()) return;
  lock_ = std::make_unique<FileLock>(
      LockOf(path_), fmt::format("{}: another process is building this table", path_.string()));
  if (fs::exists(path_)) Read(target);
  if (!fs::exists(path_) || fs::file_size(path_) == 0) {
    Append(
        Json{{"format", kJournalFormat}, {"version", kJournalVersion}, {"target", target.Fields()}}
            .dump());
  }
  Append(Json{{"session", past_.now_seconds}, {"started", UnixSeconds()}}.dump());
}

void Journal::Read(const engine::Fingerprint& target) {
  std::string text = ReadFile(path_);
  // The line that a kill cut short.
  if (const size_t end = text.rfind('\n'); end + 1 != text.size()) {
    text.resize(end == std::string::npos ? 0 : end + 1);
    WriteFileAtomically(path_, text);
  }
  Session session;
  int number = 0;
  for (size_t begin = 0; begin < text.size(); begin = text.find('\n', begin) + 1) {
    ++number;
    const auto fail = [&](std::string_view why) {
      return Error(ErrorKind::kInput,
                   "{}:{}: {}; delete the file to measure anew, or the line to do without it",
                   path_.string(), number, why);
    };
    try {
      const Json line = Json::parse(text.substr(begin, text.find('\n', begin) - begin));
      if (number > 1) {
        ReadLine(line, session);
      } else if (line.value("format", "") == kJournalFormat &&
                 line.value("version", 0) == kJournalVersion) {
        CheckTarget(line.at("target").get<std::map<std::string, std::string>>(), target, path_);
      } else {
        throw Error(ErrorKind::kInput, "{}: not a log of version {} of a table being built",
                    path_.string(), kJournalVersion);
      }
    } catch (const Json::exception& error) {
      throw fail(fmt::format("broken line: {}", error.what()));
    } catch (const Error& error) {
      if (number == 1) throw;
      throw fail(error.what());
    }
  }
  past_.now_seconds = std::max(past_.now_seconds, UnixSeconds() - session.zero);
}

void Journal::ReadLine(const Json& line, Session& session) {
  if (line.contains("session")) {
    session.begin = line.at("session");
    session.zero = line.at("started").get<double>() - session.begin;
    return;
  }
  if (line.contains("reference")) {
    past_.reference = NetworkOf(line.at("reference"));
    return;
  }
  const double at = line.at("at");
  past_.measuring_seconds += std::max(0.0, at - std::max(session.begin, past_.now_seconds));
  past_.now_seconds = std::max(past_.now_seconds, at);
  if (line.contains("reference_us")) {
    past_.reference_times.push_back({at, Latency(line.at("reference_us"))});
  } else if (line.contains("held_out")) {
    past_.held_out.push_back({NetworkOf(line.at("held_out")), at, Latency(line.at("total_us"))});
  } else {
    past_.measurements.push_back(MeasurementOf(line));
  }
}

void Journal::Append(const std::string& line) {
  if (!path_.empty()) AppendLine(path_, line);
}

void Journal::Add(const net::Network& reference) {
  Append(Json{{"reference", KeysJson(reference.layers)}}.dump());
}

void Journal::Add(const ReferenceTime& time) {
  Append(Json{{"at", time.seconds}, {"reference_us", time.latency_us}}.dump());
}

void Journal::Add(const Measurement& measurement) {
  Append(Json{{"at", measurement.seconds},
              {"layers", KeysJson(measurement.layers)},
              {"layer_us", measurement.layer_us},
              {"node_us", measurement.node_us},
              {"total_us", measurement.total_us},
              {"spread", measurement.spread}}
             .dump());
}

void Journal::Add(const HeldOut& held_out) {
  Append(Json{{"at", held_out.seconds},
              {"held_out", KeysJson(held_out.network.layers)},
              {"total_us", held_out.latency_us}}
             .dump());
}

void Journal::Remove() {
  if (path_.empty()) return;
  fs::remove(path_);
  fs::remove(LockOf(path_));
}

}  // namespace lathe::latency
