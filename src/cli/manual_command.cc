// lathe completion SHELL and lathe man: what shells and man(1) know of the program, from the same
// table of options as --help.
#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "cli/common.h"
#include "cli/version.h"

namespace lathe::cli {
namespace {

// A command with its parents: {"lathe", "study", "rank"}.
struct Command {
  std::vector<std::string> path;
  const CLI::App* app;
};

std::vector<const CLI::App*> SubcommandsOf(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

void Collect(const CLI::App& app, std::vector<std::string> path, std::vector<Command>& commands) {
  path.push_back(app.get_name());
  commands.push_back({path, &app});
  for (const CLI::App* sub : SubcommandsOf(app)) Collect(*sub, path, commands);
}

std::vector<Command> AllCommands(const CLI::App& app) {
  std::vector<Command> commands;
  Collect(app, {}, commands);
  return commands;
}

// "--json", "-q"; none for a positional.
std::vector<std::string> SwitchesOf(const CLI::Option& option) {
  std::vector<std::string> names;
  for (const std::string& name : option.get_snames()) names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) names.push_back("--" + name);
  return names;
}

bool TakesValue(const CLI::Option& option) { return option.get_items_expected_max() > 0; }

// Globals stand after every subcommand, too.
std::vector<const CLI::Option*> SwitchedOptions(const Command& command, const CLI::App& root) {
  std::vector<const CLI::Option*> options;
  for (const CLI::App* app : {command.app, &root}) {
    for (const CLI::Option* option : app->get_options()) {
      if (!SwitchesOf(*option).empty()) options.push_back(option);
    }
    if (command.app == &root) break;
  }
  return options;
}

// Bash, and zsh by way of bashcompinit. What is neither subcommand nor option is a file.
std::string BashCompletion(const CLI::App& root) {
  std::string cases;
  for (const Command& command : AllCommands(root)) {
    std::vector<std::string> words;
    for (const CLI::App* sub : SubcommandsOf(*command.app)) words.push_back(sub->get_name());
    for (const CLI::Option* option : SwitchedOptions(command, root)) {
      std::ranges::move(SwitchesOf(*option), std::back_inserter(words));
    }
    std::ranges::sort(words);
    words.erase(std::unique(words.begin(), words.end()), words.end());
    cases += fmt::format("    \"{}\") words=\"{}\" ;;\n", fmt::join(command.path, " "),
                         fmt::join(words, " "));
  }
  return "# Completion of lathe " + std::string(kVersion) +
         ": source it, or put it where your shell looks for completions.\n"
         "if [ -n \"$ZSH_VERSION\" ]; then autoload -U +X bashcompinit && bashcompinit; fi\n"
         "_lathe() {\n"
         "  local path=lathe known words word\n"
         "  _lathe_words() {\n    words=\n    case \"$1\" in\n" +
         cases +
         "    *) return 1 ;;\n    esac\n  }\n"
         "  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
         "    _lathe_words \"$path $word\" && path=\"$path $word\"\n"
         "  done\n"
         "  _lathe_words \"$path\"\n"
         "  COMPREPLY=($(compgen -W \"$words\" -- \"${COMP_WORDS[COMP_CWORD]}\"))\n"
         "}\n"
         "complete -o default -F _lathe lathe\n";
}

// In single quotes.
std::string FishQuoted(const std::string& text) {
  std::string quoted = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "'";
}

std::string FishCompletion(const CLI::App& root) {
  std::string text = "# Completion of lathe " + std::string(kVersion) + ".\n";
  for (const Command& command : AllCommands(root)) {
    std::string condition;
    for (size_t i = 1; i < command.path.size(); ++i) {
      condition += (i > 1 ? "; and " : "") + ("__fish_seen_subcommand_from " + command.path[i]);
    }
    const std::vector<const CLI::App*> subs = SubcommandsOf(*command.app);
    std::string names;
    for (const CLI::App* sub : subs) names += " " + sub->get_name();
    for (const CLI::App* sub : subs) {
      const std::string here = fmt::format("{}{}not __fish_seen_subcommand_from{}", condition,
                                           condition.empty() ? "" : "; and ", names);
      text += fmt::format("complete -c lathe -f -n '{}' -a {} -d {}\n", here, sub->get_name(),
                          FishQuoted(sub->get_description()));
    }
    for (const CLI::Option* option : command.app->get_options()) {
      if (SwitchesOf(*option).empty()) continue;
      text += "complete -c lathe";
      if (!condition.empty()) text += " -n '" + condition + "'";
      for (const std::string& name : option->get_snames()) text += " -s " + name;
      for (const std::string& name : option->get_lnames()) text += " -l " + name;
      if (TakesValue(*option)) text += " -r";
      text += " -d " + FishQuoted(option->get_description()) + "\n";
    }
  }
  return text;
}

// Text for troff: no control lines, no escapes, hyphens that can be searched for.
std::string Roff(const std::string& text) {
  std::string safe;
  for (const char c : text) {
    if (c == '\\') {
      safe += "\\e";
    } else if (c == '-') {
      safe += "\\-";
    } else {
      safe += c;
    }
  }
  return safe.starts_with('.') || safe.starts_with('\'') ? "\\&" + safe : safe;
}

std::string RoffOption(const CLI::Option& option) {
  const std::vector<std::string> switches = SwitchesOf(option);
  const std::string names =
      switches.empty() ? option.get_name(true) : fmt::format("{}", fmt::join(switches, ", "));
  std::string text = ".TP\n.B " + Roff(names) + "\n" + Roff(option.get_description());
  if (!option.get_default_str().empty()) {
    text += " (default: " + Roff(option.get_default_str()) + ")";
  }
  return text + "\n";
}

std::string ManPage(const CLI::App& root) {
  std::string text = fmt::format(
      ".TH LATHE 1 \"\" \"Lathe {}\" \"User Commands\"\n.SH NAME\nlathe \\- {}\n"
      ".SH SYNOPSIS\n.B lathe\n[options] command [subcommand] [options]\n"
      ".SH DESCRIPTION\nGive it a device, a latency budget and pictures in classes; it returns "
      "trained networks that hold the budget as measured.\n",
      kVersion, Roff(root.get_description()));
  for (const Command& command : AllCommands(root)) {
    const bool is_root = command.app == &root;
    text += is_root ? ".SH OPTIONS\n"
                    : fmt::format(".SS {}\n{}.\n",
                                  Roff(fmt::format("{}", fmt::join(command.path, " "))),
                                  Roff(command.app->get_description()));
    for (const CLI::Option* option : command.app->get_options()) text += RoffOption(*option);
    if (is_root) text += ".SH COMMANDS\n";
  }
  return text +
         ".SH EXIT STATUS\n0: done; 1: failed; 2: bad usage or input; 3: done, but the target was "
         "not reached; 75: a trial wants to be started again; 130: interrupted, may be continued.\n"
         ".SH ENVIRONMENT\n.TP\n.B NO_COLOR\nNo colours.\n.TP\n.B XDG_CACHE_HOME\nWhere decoded "
         "pictures are kept, under lathe/.\n.TP\n.B LATHE_TOKEN\nThe token of lathe serve.\n";
}

}  // namespace

void AddManualCommands(CLI::App& app, Action& action) {
  CLI::App* completion =
      app.add_subcommand("completion", "Print a script that completes lathe's commands in a shell");
  auto shell = std::make_shared<std::string>();
  completion->add_option("shell", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  completion->callback([&app, &action, shell] {
    action = [&app, shell] {
      PrintText(*shell == "fish" ? FishCompletion(app) : BashCompletion(app));
      return 0;
    };
  });
  app.add_subcommand("man", "Print the manual page: lathe man | man -l -")
      ->callback([&app, &action] {
        action = [&app] {
          PrintText(ManPage(app));
          return 0;
        };
      });
}

}  // namespace lathe::cli
