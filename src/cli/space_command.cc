// lathe space describe | count | sample | encode | decode: a search space on its own.
#include <cmath>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "cli/space_flags.h"
#include "latency/estimator.h"
#include "net/network_file.h"

namespace lathe::cli {
namespace {

int Encode(const Globals& globals, const SpaceFlags& flags) {
  const space::SearchSpace space = flags.Load();
  const net::Network network = LoadNetwork(flags.network);
  const space::Encoding encoding =
      flags.nearest ? space.Nearest(network) : EncodeNetwork(space, network);
  globals.json ? PrintJson({{"encoding", encoding}}) : PrintText(EncodingText(encoding) + "\n");
  return 0;
}

int Decode(const Globals& globals, const SpaceFlags& flags) {
  const net::Network network = flags.Load().Decode(ParseEncoding(flags.encoding), flags.Head());
  if (!flags.out.empty()) WriteFileAtomically(flags.out, net::ToJson(network));
  if (flags.out.empty()) PrintText(globals.json ? net::ToJson(network) : net::Describe(network));
  return 0;
}

}  // namespace

std::string EncodingText(std::span<const int> encoding) {
  return fmt::format("{}", fmt::join(encoding, ","));
}

int64_t PsOfMs(double ms) { return std::llround(ms * 1e9); }

std::string FormatBig(const space::BigCount& count) {
  std::string text = count.Text();
  if (!count.exact) return text;
  for (size_t i = text.size(); i > 3;) text.insert(i -= 3, 1, ',');
  return text;
}

space::SearchSpace SpaceFlags::Load() const { return LoadSpace(space, restrict); }

int SpaceFlags::Threads() const { return threads > 0 ? threads : AvailableThreads(); }

space::Limits SpaceFlags::Limits() const {
  space::Limits limits;
  if (max_params > 0) limits.params = max_params;
  if (max_macs > 0) limits.macs = max_macs;
  return limits;
}

latency::PricedSpace SpaceFlags::Price(const space::SearchSpace& search_space,
                                       bool params_and_macs) const {
  const latency::Estimator estimator(latency::ReadLut(lut));
  latency::PricedSpace priced = latency::PriceSpace(search_space, estimator,
                                                    {.head = Head(),
                                                     .params_and_macs = params_and_macs,
                                                     .measured_only = measured_only,
                                                     .threads = Threads(),
                                                     .lut_name = lut,
                                                     .space_name = space});
  if (priced.estimated > 0) {
    spdlog::info("{} of {} layers are not in {}; their latency is estimated",
                 FormatCount(priced.estimated), FormatCount(priced.layers), lut);
  }
  return priced;
}

void AddSpaceCommand(CLI::App& app, const Globals& globals, Action& action) {
  CLI::App* space_command = app.add_subcommand("space", "Look at a search space");
  space_command->require_subcommand(1);
  auto flags = std::make_shared<SpaceFlags>();
  const auto add = [&](const std::string& name, const std::string& help,
                       const std::function<int()>& run) {
    CLI::App* command = space_command->add_subcommand(name, help);
    command->add_option("--space", flags->space, "Space file (TOML)")->required();
    command->add_option("--restrict", flags->restrict, kRestrictHelp);
    AddHeadOptions(*command, flags->channels, flags->classes);
    command->callback([&action, run] { action = run; });
    return command;
  };
  // Of the subcommands that know latencies.
  const auto add_lut = [&](CLI::App* command) {
    command->add_option("--lut", flags->lut, "LUT file for latencies");
    command->add_flag("--measured-only", flags->measured_only,
                      "Refuse a LUT that lacks layers, instead of estimating them");
    command->add_option("--threads", flags->threads, "Threads; 0: all")
        ->capture_default_str()
        ->check(CLI::Range(0, 1024));
  };
  const auto add_limits = [&](CLI::App* command) {
    command->add_option("--max-params", flags->max_params, "Only networks of at most so many")
        ->check(CLI::PositiveNumber);
    command->add_option("--max-macs", flags->max_macs, "Only networks of at most so many")
        ->check(CLI::PositiveNumber);
  };
  const auto add_resolution = [&](CLI::App* command) {
    command
        ->add_option("--resolution-us", flags->resolution_us,
                     "Step of the latency axis in microseconds; 0: chosen")
        ->capture_default_str()
        ->check(CLI::Range(0.0, 1e9));
  };
  const auto add_between = [&](CLI::App* command) {
    command
        ->add_option("--between", flags->between_ms,
                     "Sub-space: lowest and highest latency in ms, both included")
        ->expected(2)
        ->check(CLI::NonNegativeNumber);
  };
  const auto add_scramble = [&](CLI::App* command) {
    command->add_option("--scramble", flags->scramble, "Of the Sobol points: none, shift or owen")
        ->capture_default_str();
  };

  CLI::App* describe = add("describe", "What a person can decide from: choices, size, costs",
                           [=, &globals] { return DescribeSpace(globals, *flags); });
  add_lut(describe);
  describe->add_option("--budget", flags->budget_ms, "Latency in ms: what share holds it")
      ->check(CLI::PositiveNumber);
  add_between(describe);
  add_limits(describe);
  describe->add_option("--picture", flags->picture, "Also draw it, as an SVG file");

  CLI::App* count = add("count", "How many networks lie in each latency sub-space, exactly",
                        [=, &globals] { return CountSpace(globals, *flags); });
  add_lut(count);
  count->get_option("--lut")->required();
  count->add_option("--edges", flags->edges_ms, "Edges between the sub-spaces in ms: 0.5,0.75,1")
      ->required()
      ->delimiter(',');
  add_limits(count);
  add_resolution(count);
  count->add_option("--points", flags->points, "Points of the Sobol estimate; 0: none")
      ->capture_default_str()
      ->check(CLI::Range(int64_t{0}, static_cast<int64_t>(space::SobolSequence::kPoints)));
  add_scramble(count);

  CLI::App* sample = add("sample", "Sobol candidates, or uniform draws from a latency sub-space",
                         [=, &globals] { return SampleSpace(globals, *flags); });
  add_lut(sample);
  sample->add_option("--count", flags->count, "How many")
      ->capture_default_str()
      ->check(CLI::Range(int64_t{1}, static_cast<int64_t>(space::SobolSequence::kPoints)));
  add_between(sample);
  sample->add_flag("--exact", flags->exact,
                   "Draw uniformly from the networks of the sub-space instead of Sobol points");
  add_limits(sample);
  add_resolution(sample);
  add_scramble(sample);
  sample->add_option("--out,-o", flags->out, "Write to this file instead of printing");
  sample->add_option("--format", flags->format, "Of the file: csv or binary")
      ->default_val("csv")
      ->check(CLI::IsMember({"csv", "binary"}));

  CLI::App* encode =
      add("encode", "The encoding of a network", [=, &globals] { return Encode(globals, *flags); });
  encode->add_option("network", flags->network, "Network file or zoo name")->required();
  encode->add_flag("--nearest", flags->nearest,
                   "Of a network outside the space: the nearest encoding");
  CLI::App* decode = add("decode", "The network of an encoding",
                         [=, &globals] { return Decode(globals, *flags); });
  decode->add_option("encoding", flags->encoding, "Comma-separated integers")->required();
  decode->add_option("--out,-o", flags->out,
                     "Write the network to this file instead of printing it");
}

}  // namespace lathe::cli
