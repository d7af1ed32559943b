// lathe space describe | sample | encode | decode: a search space on its own.
#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/random.h"
#include "cli/common.h"
#include "latency/estimator.h"
#include "net/network_file.h"
#include "space/search_space.h"
#include "space/subspace.h"

namespace lathe::cli {
namespace {

struct SpaceFlags {
  std::string space, lut, network, encoding, out;
  int64_t count = 10;
  std::vector<double> between_ms;
  int channels = 3, classes = 1000;
  space::SearchSpace::Head Head() const { return {.channels = channels, .classes = classes}; }
};

std::string TextOf(const space::Encoding& encoding) {
  return fmt::format("{}", fmt::join(encoding, ","));
}

space::Encoding ParseEncoding(const std::string& text) {
  space::Encoding encoding;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at != end) {
    int value = 0;
    const auto [next, error] = std::from_chars(at, end, value);
    if (error != std::errc{} || (next != end && *next != ',')) {
      throw Error(ErrorKind::kUsage, "'{}' is not a comma-separated list of integers (at '{}')",
                  text, std::string(at, end));
    }
    encoding.push_back(value);
    at = next == end ? end : next + 1;
  }
  return encoding;
}

int Describe(const Globals& globals, const SpaceFlags& flags) {
  const space::SearchSpace space = space::SearchSpace::Load(flags.space);
  if (globals.json) {
    nlohmann::ordered_json json = {{"name", space.name()}, {"size_log10", space.size_log10()}};
    for (const space::Gene& gene : space.genes()) {
      json["genes"].push_back(
          {{"name", gene.name}, {"choices", gene.choices}, {"ordinal", gene.ordinal}});
    }
    PrintJson(json);
    return 0;
  }
  std::vector<std::vector<std::string>> rows = {{"gene", "choices"}};
  for (const space::Gene& gene : space.genes()) {
    std::vector<std::string> choices;
    for (const int choice : gene.choices) {
      choices.push_back(gene.kind == space::GeneKind::kActivation
                            ? std::string(net::Name(static_cast<net::Activation>(choice)))
                            : std::to_string(choice));
    }
    rows.push_back({gene.name, fmt::format("{}", fmt::join(choices, " "))});
  }
  PrintText(FormatTable(rows) + fmt::format("{}: {} genes, 10^{:.2f} encodings\n", space.name(),
                                            space.genes().size(), space.size_log10()));
  return 0;
}

int Sample(const Globals& globals, const SpaceFlags& flags) {
  const space::SearchSpace space = space::SearchSpace::Load(flags.space);
  std::unique_ptr<latency::Estimator> estimator;
  if (!flags.lut.empty())
    estimator = std::make_unique<latency::Estimator>(latency::ReadLut(flags.lut));
  if (!estimator && !flags.between_ms.empty())
    throw Error(ErrorKind::kUsage, "--between needs --lut to know latencies");
  space::SobolSource sobol(space, globals.seed);
  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  std::string text;
  int64_t found = 0;
  // Rejection: gives up when a sub-space is so rare that sampling is the wrong tool.
  const int64_t limit = 1000 * flags.count + 100000;
  for (int64_t point = 0; point < limit && found < flags.count; ++point) {
    const space::Encoding encoding = sobol.Next();
    double latency_us = 0;
    if (estimator) {
      latency_us = estimator->Network(space.Decode(encoding, flags.Head())).latency_us;
      if (!flags.between_ms.empty() &&
          (latency_us < 1000 * flags.between_ms[0] || latency_us > 1000 * flags.between_ms[1])) {
        continue;
      }
    }
    ++found;
    json.push_back({{"encoding", encoding}});
    if (estimator) json.back()["latency_us"] = latency_us;
    text += TextOf(encoding) + (estimator ? fmt::format("  {}", FormatMs(latency_us)) : "") + "\n";
  }
  globals.json ? PrintJson(json) : PrintText(text);
  if (found == flags.count) return 0;
  throw Error(ErrorKind::kTargetNotReached,
              "only {} of {} networks found between {:g} and {:g} ms in {} Sobol points", found,
              flags.count, flags.between_ms[0], flags.between_ms[1], limit);
}

}  // namespace

void AddSpaceCommand(CLI::App& app, const Globals& globals, Action& action) {
  CLI::App* space_command = app.add_subcommand("space", "Look at a search space");
  space_command->require_subcommand(1);
  auto flags = std::make_shared<SpaceFlags>();
  const auto add = [&](const std::string& name, const std::string& help, std::function<int()> run) {
    CLI::App* command = space_command->add_subcommand(name, help);
    command->add_option("--space", flags->space, "Space file (TOML)")->required();
    command->add_option("--channels", flags->channels, "Channels of the image")
        ->capture_default_str();
    command->add_option("--classes", flags->classes, "Number of classes")->capture_default_str();
    command->callback([&action, run] { action = run; });
    return command;
  };
  add("describe", "Genes, choices and size", [=, &globals] { return Describe(globals, *flags); });
  CLI::App* sample = add("sample", "Sobol candidates, optionally inside a latency sub-space",
                         [=, &globals] { return Sample(globals, *flags); });
  sample->add_option("--count", flags->count, "How many")
      ->capture_default_str()
      ->check(CLI::Range(1, 100000000));
  sample->add_option("--lut", flags->lut, "LUT file for latencies");
  sample->add_option("--between", flags->between_ms, "Lowest and highest latency in ms")
      ->expected(2);
  CLI::App* encode = add("encode", "The encoding of a network", [=, &globals] {
    const space::Encoding encoding =
        space::SearchSpace::Load(flags->space).Encode(LoadNetwork(flags->network));
    globals.json ? PrintJson({{"encoding", encoding}}) : PrintText(TextOf(encoding) + "\n");
    return 0;
  });
  encode->add_option("network", flags->network, "Network file or zoo name")->required();
  CLI::App* decode = add("decode", "The network of an encoding", [=, &globals] {
    const net::Network network = space::SearchSpace::Load(flags->space)
                                     .Decode(ParseEncoding(flags->encoding), flags->Head());
    if (!flags->out.empty()) WriteFileAtomically(flags->out, net::ToJson(network));
    if (flags->out.empty()) PrintText(globals.json ? net::ToJson(network) : net::Describe(network));
    return 0;
  });
  decode->add_option("encoding", flags->encoding, "Comma-separated integers")->required();
  decode->add_option("--out,-o", flags->out,
                     "Write the network to this file instead of printing it");
}

}  // namespace lathe::cli
