// creditsctl: what an operator does to a ledger from the command line.
#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>

#include "persistence/audit.hpp"
#include "persistence/store.hpp"
#include "tools/version.hpp"

namespace credits {

namespace {

constexpr int failure = 1;
constexpr int usage_error = 2;

// Returns the exit status.
int check(const std::filesystem::path& data_dir) {
  const persistence::AuditReport report = persistence::audit(data_dir);
  if (report.fault) {
    std::cerr << "creditsctl: install \"" << report.fault->install_id << "\", version "
              << report.fault->version << ": " << report.fault->what << '\n';
    return failure;
  }
  std::cout << "ok: " << report.installs << " installs, " << report.entries << " entries";
  if (report.entries_unhashed > 0) {
    std::cout << ", of which " << report.entries_unhashed << " are from before entries had hashes";
  }
  if (report.pruned_sequence > 0) std::cout << "; older ones have been pruned";
  std::cout << '\n';
  return 0;
}

}  // namespace

}  // namespace credits

int main(int argc, char** argv) {
  CLI::App app{"creditsctl looks after a ledger of credits."};
  app.name("creditsctl");
  app.set_version_flag("--version", credits::version);
  app.require_subcommand(1);
  std::filesystem::path data_dir = "./data";
  CLI::App* check = app.add_subcommand(
      "check",
      "Check every row against its entries, and every entry's hash; a running creditsd goes on");
  check->add_option("--data-dir", data_dir, "Directory of the ledger")->capture_default_str();
  try {
    app.parse(argc, argv);
    return credits::check(data_dir);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : credits::usage_error;
  } catch (const credits::persistence::StoreError& error) {
    std::cerr << "creditsctl: " << error.what() << '\n';
    return credits::failure;
  }
}
