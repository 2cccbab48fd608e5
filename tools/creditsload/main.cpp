// creditsload: puts a creditsd under load, reports how fast it answers, and on demand whether its
// state matches its answers.
#include <csignal>
#include <fstream>
#include <iostream>

#include "tools/creditsctl/failure.hpp"
#include "tools/creditsctl/table.hpp"
#include "tools/creditsload/report.hpp"
#include "tools/help.hpp"
#include "tools/standard_descriptors.hpp"
#include "tools/version.hpp"

namespace credits::creditsload {

namespace {

constexpr const char* footer = R"(Exit status:
  0  done; with --verify, the server's state matches its answers
  1  the state differs, no operation succeeded, the server refused, or a file cannot be written
  2  the command line is wrong
  3  the server cannot be reached

Examples:
  $ creditsload --connections 64 --duration 10s
  $ creditsload --rate 5000 --mix plan=6,commit=3,reserve-settle=1 --html report.html
  $ creditsload --installs 1000000 --zipf 1 --verify)";

int report(int status, const std::string& what) {
  std::cerr << "creditsload: " << creditsctl::harmless(what) << '\n';
  return status;
}

void set_up(CLI::App& app, Settings& settings) {
  app.name("creditsload");
  app.formatter(std::make_shared<HelpFormatter>());
  app.set_version_flag("--version", version);
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  app.footer(footer);
  creditsctl::add_server_options(app, settings.server);
  add_settings(app, settings);
}

std::ofstream open(const std::filesystem::path& path) {
  std::ofstream file{path, std::ios::binary};
  if (!file) throw creditsctl::Failure{creditsctl::failed, path.string() + ": cannot be written"};
  return file;
}

void write(std::ofstream& file, const std::filesystem::path& path, const std::string& content) {
  if (file << content << std::flush) return;
  throw creditsctl::Failure{creditsctl::failed, path.string() + ": cannot be written"};
}

// Opens the files first, so that an unwritable one does not waste a load.
int run(Settings& settings) {
  complete(settings);
  std::ofstream json;
  std::ofstream page;
  if (!settings.json_file.empty()) json = open(settings.json_file);
  if (!settings.html_file.empty()) page = open(settings.html_file);
  const Outcome outcome = run_load(settings);
  print(settings, outcome, std::cout);
  if (json.is_open()) write(json, settings.json_file, as_json(settings, outcome) + "\n");
  if (page.is_open()) write(page, settings.html_file, as_page(settings, outcome));
  if (outcome.results.total().operations == 0) {
    return report(creditsctl::failed, "no operation succeeded");
  }
  const bool differs = outcome.verdict && outcome.verdict->differing_installs > 0;
  return differs ? report(creditsctl::failed, "the server's state differs from its answers") : 0;
}

int run(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  CLI::App app{"creditsload puts a creditsd under load and reports how fast it answers."};
  Settings settings;
  set_up(app, settings);
  try {
    app.parse(argc, argv);
    return run(settings);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    return report(creditsctl::usage_error, std::string{error.what()} + "; see --help");
  } catch (const creditsctl::Failure& failure) {
    return report(failure.status(), failure.what());
  } catch (const std::exception& error) {
    return report(creditsctl::failed, error.what());
  }
}

}  // namespace

}  // namespace credits::creditsload

int main(int argc, char** argv) {
  credits::open_standard_descriptors();
  return credits::creditsload::run(argc, argv);
}
