// creditsctl: the operators' command line for a running creditsd and for a ledger's files.
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <iostream>

#include "persistence/store.hpp"
#include "tools/creditsctl/commands.hpp"
#include "tools/creditsctl/failure.hpp"
#include "tools/creditsctl/table.hpp"
#include "tools/help.hpp"
#include "tools/standard_descriptors.hpp"
#include "tools/version.hpp"

namespace credits::creditsctl {

namespace {

constexpr const char* footer = R"(Exit status:
  0  done
  1  the server refused, a fault was found, or a file cannot be used
  2  the command line is wrong
  3  the server cannot be reached, or is unavailable (502 to 504)

Examples:
  $ creditsctl stats
  $ creditsctl --url https://credits.example:8787 --token-file admin.token top
  $ creditsctl list --prefix phone- --json)";

void set_up(CLI::App& app, Options& options) {
  app.name("creditsctl");
  app.formatter(std::make_shared<HelpFormatter>());
  app.set_version_flag("--version", version);
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  app.fallthrough();
  app.require_subcommand(1);
  app.footer(footer);
  add_options(app, options);
  add_stats(app, options);
  add_top(app, options);
  add_show(app, options);
  add_history(app, options);
  add_list(app, options);
  add_export(app, options);
  add_import(app, options);
  add_quota(app, options);
  add_check(app, options);
  add_backup(app, options);
  add_migrate(app, options);
  add_completion(app);
}

int report(int status, const std::string& what) {
  std::cerr << "creditsctl: " << harmless(what) << '\n';
  return status;
}

// SIGPIPE is ignored so that a server that closes a connection does not end the program. If the
// reader of standard output has gone, as `head` does, raise it now.
int end_output() {
  if (std::cout.flush()) return 0;
  struct stat output {};
  const bool has_reader = ::fstat(STDOUT_FILENO, &output) == 0 &&
                          (S_ISFIFO(output.st_mode) || S_ISSOCK(output.st_mode));
  if (has_reader) {
    std::signal(SIGPIPE, SIG_DFL);
    std::raise(SIGPIPE);
  }
  return report(failed, "cannot write to standard output");
}

// Whether the program or a command was called without its required subcommand.
bool lacks_command(const CLI::App& app, const CLI::ParseError& error) {
  if (error.get_name() != "RequiredError" || !app.remaining(true).empty()) return false;
  const CLI::App* called = &app;
  while (!called->get_subcommands().empty()) called = called->get_subcommands().front();
  return called->get_require_subcommand_min() > 0;
}

// CLI11 reports an unknown command as a missing one.
std::string fault_of(const CLI::App& app, const CLI::ParseError& error) {
  const auto extras = app.remaining(true);
  const bool is_unknown = error.get_name() == "RequiredError" && !extras.empty();
  return (is_unknown ? "unknown command \"" + extras.front() + "\"" : error.what()) +
         "; see --help";
}

int run(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  CLI::App app{"creditsctl manages a credit ledger and the creditsd that serves it."};
  Options options;
  set_up(app, options);
  try {
    app.parse(argc, argv);
    return end_output();
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    if (lacks_command(app, error)) {
      std::cout << app.help();
      return end_output() == 0 ? usage_error : failed;
    }
    return report(usage_error, fault_of(app, error));
  } catch (const Failure& failure) {
    std::cout.flush();
    return report(failure.status(), failure.what());
  } catch (const std::exception& error) {  // of the store, files and the standard library
    std::cout.flush();
    return report(failed, error.what());
  }
}

}  // namespace

}  // namespace credits::creditsctl

int main(int argc, char** argv) {
  credits::open_standard_descriptors();
  return credits::creditsctl::run(argc, argv);
}
