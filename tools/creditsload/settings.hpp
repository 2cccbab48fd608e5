// The settings of a load, from the command line.
#pragma once

#include <CLI/CLI.hpp>
#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "tools/creditsctl/options.hpp"

namespace credits::creditsload {

enum class Kind : std::uint8_t { plan, commit, reserve, settle, batch };
inline constexpr std::size_t kinds = 5;
inline constexpr std::array<const char*, kinds> kind_names{"plan", "commit", "reserve", "settle",
                                                           "batch"};

// Relative shares; they need not add up to one.
using Weights = std::map<std::string, double>;

struct Settings {
  creditsctl::Options server{};  // --url, --token-file, --ca-file
  std::size_t connections = 64;
  std::size_t idle_connections = 0;  // opened but never used
  double rate = 0;                   // operations begun per second; 0: closed loop
  double duration_seconds = 10;
  double warm_up_seconds = 2;
  double timeout_seconds = 10;  // per request
  std::size_t installs = 10'000;
  std::string install_prefix{};  // empty: a prefix unique to this run
  double zipf_exponent = 0;      // 0: all installs equally likely
  Weights mix{{"commit", 1}};    // plan, commit, reserve-settle, batch
  Weights tiers{{"max", 1}};
  std::size_t batch_operations = 100;
  bool uses_keys = false;
  std::uint64_t seed = 0;  // 0: random
  bool verifies = false;
  std::filesystem::path json_file{};
  std::filesystem::path html_file{};
};

void add_settings(CLI::App& app, Settings& settings);

// Fills in the settings that were left out. Throws creditsctl::Failure for an invalid --url or
// --install-prefix.
void complete(Settings& settings);

// The command line that repeats the load.
std::string summary_of(const Settings& settings);

}  // namespace credits::creditsload
