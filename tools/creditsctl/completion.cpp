// creditsctl completion: generates a bash script from the program's own commands and flags, so that
// it is never out of date.
#include <iostream>

#include "tools/creditsctl/commands.hpp"

namespace credits::creditsctl {

namespace {

std::vector<const CLI::App*> commands_of(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

std::vector<const CLI::Option*> options_of(const CLI::App& app) {
  return app.get_options([](const CLI::Option* option) { return option->nonpositional(); });
}

std::string names_of(const CLI::App& app) {
  std::string names;
  for (const CLI::App* command : commands_of(app)) names += command->get_name() + " ";
  return names;
}

std::string flags_of(const CLI::App& app) {
  std::string flags;
  for (const CLI::Option* option : options_of(app)) {
    for (const std::string& name : option->get_lnames()) flags += "--" + name + " ";
  }
  return flags;
}

// ` --url | --token-file`: the flags that take a value.
std::string patterns_of_valued(const CLI::App& app) {
  std::string patterns;
  for (const CLI::Option* option : options_of(app)) {
    if (option->get_items_expected_max() == 0) continue;
    for (const std::string& name : option->get_lnames()) patterns += "--" + name + " | ";
  }
  for (const CLI::App* command : commands_of(app)) patterns += patterns_of_valued(*command);
  return patterns;
}

// Prints the case branches that list what may follow each command.
void print_cases(const CLI::App& app, const std::string& path, const std::string& root_flags) {
  const bool is_root = path.empty();
  std::cout << "    '" << path << "') commands='" << names_of(app) << "' flags='" << flags_of(app)
            << (is_root ? "" : root_flags) << "' ;;\n";
  for (const CLI::App* command : commands_of(app)) {
    print_cases(*command, path + " " + command->get_name(), root_flags);
  }
}

void print_paths(const CLI::App& app, const std::string& path) {
  for (const CLI::App* command : commands_of(app)) {
    const std::string deeper = path + " " + command->get_name();
    std::cout << "'" << deeper << "' | ";
    print_paths(*command, deeper);
  }
}

// The program's flags that may also follow a command: all except help and version.
std::string flags_everywhere(const CLI::App& app) {
  std::string flags;
  for (const CLI::Option* option : options_of(app)) {
    const std::string& name = option->get_lnames().front();
    if (name != "help" && name != "version") flags += "--" + name + " ";
  }
  return flags;
}

void print_bash(const CLI::App& app) {
  std::cout
      << R"(# bash completion for creditsctl; load it with: source <(creditsctl completion bash)
_creditsctl() {
  local word=${COMP_WORDS[COMP_CWORD]} path='' commands='' flags='' skip='' i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    if [[ $skip ]]; then skip=''; continue; fi
    case ${COMP_WORDS[i]} in
      )"
      << patterns_of_valued(app) << R"('') skip=yes; continue ;;
    esac
    case "$path ${COMP_WORDS[i]}" in
      )";
  print_paths(app, "");
  std::cout << R"('') path+=" ${COMP_WORDS[i]}" ;;
    esac
  done
  [[ $skip ]] && return  # a flag's value: bash completes file names
  case $path in
)";
  print_cases(app, "", flags_everywhere(app));
  std::cout << R"(  esac
  if [[ $word == -* ]]; then
    COMPREPLY=($(compgen -W "$flags" -- "$word"))
  else
    COMPREPLY=($(compgen -W "$commands" -- "$word"))
  fi
}
complete -o default -F _creditsctl creditsctl
)";
}

}  // namespace

void add_completion(CLI::App& app) {
  CLI::App* command = app.add_subcommand("completion", "Print a shell completion script");
  command->require_subcommand(1);
  CLI::App* bash = command->add_subcommand("bash", "Print the script for bash");
  bash->footer(
      "Examples:\n  $ source <(creditsctl completion bash)\n"
      "  $ creditsctl completion bash > /etc/bash_completion.d/creditsctl");
  bash->callback([&app] { print_bash(app); });
}

}  // namespace credits::creditsctl
