// lathe zoo list | show NAME | export NAME: the networks Lathe knows.
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/table.h"
#include "cli/common.h"
#include "net/network_file.h"
#include "net/zoo.h"

namespace lathe::cli {
namespace {

int List(const Globals& globals) {
  std::vector<std::vector<std::string>> rows = {{"name", "input", "params", "MACs", "description"}};
  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  for (const net::ZooEntry& entry : net::Zoo()) {
    const net::Network network = net::ZooNetwork(entry.name);
    const net::Costs costs = net::Count(network);
    rows.push_back({std::string(entry.name), fmt::format("{} px", entry.resolution),
                    FormatCount(costs.params), FormatCount(costs.macs),
                    std::string(entry.description)});
    json.push_back({{"name", entry.name},
                    {"resolution", entry.resolution},
                    {"params", costs.params},
                    {"macs", costs.macs},
                    {"layers", network.layers.size()},
                    {"scalable", entry.scalable},
                    {"description", entry.description}});
  }
  globals.json ? PrintJson(json) : PrintText(FormatTable(rows));
  return 0;
}

}  // namespace

void AddZooCommand(CLI::App& app, const Globals& globals, Action& action) {
  CLI::App* zoo = app.add_subcommand("zoo", "Known networks: GPUNets and baselines");
  zoo->require_subcommand(1);
  zoo->add_subcommand("list", "All networks with parameters and multiply-accumulates")
      ->callback([&] { action = [&] { return List(globals); }; });

  auto name = std::make_shared<std::string>();
  auto options = std::make_shared<net::ZooOptions>();
  auto out = std::make_shared<std::string>();
  auto gpunet_format = std::make_shared<bool>(false);
  auto add_options = [&](CLI::App* command) {
    command->add_option("name", *name, "A name of 'zoo list', optionally as NAME@RESOLUTIONxWIDTH")
        ->required();
    command->add_option("--resolution", options->resolution, "Input size in px (default: native)");
    command->add_option("--channels", options->channels, "Channels of the image")
        ->capture_default_str();
    command->add_option("--width", options->width, "Width multiplier")->capture_default_str();
    command->add_option("--classes", options->classes, "Number of classes")->capture_default_str();
  };
  CLI::App* show = zoo->add_subcommand("show", "One network layer by layer");
  add_options(show);
  show->callback([&globals, &action, name, options] {
    action = [=, &globals] {
      const net::Network network = net::ZooNetwork(*name, *options);
      PrintText(globals.json ? net::ToJson(network) : net::Describe(network));
      return 0;
    };
  });
  CLI::App* export_command = zoo->add_subcommand("export", "Write a network as JSON");
  add_options(export_command);
  export_command->add_option("--out,-o", *out, "File to write")->required();
  export_command->add_flag("--gpunet", *gpunet_format, "NVIDIA's GPUNet format instead of Lathe's");
  export_command->callback([&action, name, options, out, gpunet_format] {
    action = [=] {
      const net::Network network = net::ZooNetwork(*name, *options);
      WriteFileAtomically(*out, *gpunet_format ? net::ToGpunetJson(network) : net::ToJson(network));
      return 0;
    };
  });
}

}  // namespace lathe::cli
