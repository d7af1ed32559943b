// What all subcommands share: global options, output, and the engines by name. Each *_command.cc
// adds one subcommand.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "data/loader.h"
#include "engine/engine.h"
#include "net/network.h"
#include "net/weights.h"
#include "space/search_space.h"

namespace lathe::cli {

struct Globals {
  bool json = false;
  bool quiet = false;
  bool verbose = false;
  uint64_t seed = 1;
  bool seed_given = false;  // on the command line
};

// Set by the chosen subcommand's parser; main runs it and returns its value.
using Action = std::function<int()>;

void AddInitCommand(CLI::App& app, const Globals& globals, Action& action);
void AddSearchCommand(CLI::App& app, const Globals& globals, Action& action);
void AddSpaceCommand(CLI::App& app, const Globals& globals, Action& action);
void AddLutCommand(CLI::App& app, const Globals& globals, Action& action);
void AddNetCommand(CLI::App& app, const Globals& globals, Action& action);
void AddZooCommand(CLI::App& app, const Globals& globals, Action& action);
void AddStudyCommand(CLI::App& app, const Globals& globals, Action& action);
void AddSimulateCommand(CLI::App& app, const Globals& globals, Action& action);
void AddServeCommand(CLI::App& app, const Globals& globals, Action& action);
void AddManualCommands(CLI::App& app, Action& action);
void AddTrialCommand(CLI::App& app, const Globals& globals, Action& action);

// Results go to stdout, and only through these.
void PrintText(std::string_view text);
void PrintJson(const nlohmann::ordered_json& json);

// The one list of inference engines. Throws kInput with the nearest name for an unknown one.
std::unique_ptr<engine::Engine> MakeEngine(const std::string& name,
                                           const engine::TargetOptions& options);

// --engine, --device, --threads, --batch and --precision of the commands that time networks.
struct TargetFlags {
  std::string engine = "openvino";
  std::string device = "CPU";
  std::string precision = "f32";
  int threads = 1;
  int batch = 1;
  void AddTo(CLI::App& command);
  engine::TargetOptions Options() const;
  std::unique_ptr<engine::Engine> Make() const { return MakeEngine(engine, Options()); }
};

// --channels and --classes of networks that are made from a space.
void AddHeadOptions(CLI::App& command, int& channels, int& classes);

// All networks of the zoo as they are.
std::vector<net::Network> ZooAtNativeResolution();

// A space file with, for some genes, fewer choices: "GENE=CHOICE[,CHOICE...]" each.
space::SearchSpace LoadSpace(const std::string& file, const std::vector<std::string>& restrict);
inline constexpr const char* kRestrictHelp =
    "Choices left of a gene, as GENE=CHOICE[,CHOICE...]; may be repeated";

// "28,16,3": throws kUsage for anything but integers and commas.
space::Encoding ParseEncoding(const std::string& text);
// Throws kInput naming the first layer and value that do not fit, and the nearest encoding.
space::Encoding EncodeNetwork(const space::SearchSpace& space, const net::Network& network);

// A network from a file or, when no such file exists, from the zoo ("mobilenet_v2@64x0.5").
net::Network LoadNetwork(const std::string& file_or_name);
inline constexpr const char* kNetworkHelp = "Network file (Lathe's or GPUNet's JSON) or zoo name";

// What images trained weights want, if their file says so.
std::optional<data::Preprocessing> StoredPreprocessing(const net::Weights& weights,
                                                       const std::string& file);
// The same; where the file is silent, measured on the images that they were trained on.
data::Preprocessing PreprocessingOf(const net::Weights& weights, const std::string& file,
                                    const data::Dataset& train, int resolution);

// "0.312 ms"
std::string FormatMs(double latency_us);
// "91.52 %"
std::string FormatPercent(double share);

}  // namespace lathe::cli
