// The command line of creditsd, its environment variables and its configuration file.
//
// A flag on the command line overrides its environment variable (`--data-dir`: CREDITSD_DATA_DIR),
// which overrides its line in the file that --config names (`data-dir = …`).
#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "http/api/access.hpp"
#include "http/server/address.hpp"
#include "http/server/tls.hpp"

namespace credits::creditsd {

struct Options {
  std::vector<http::Address> listen;
  unsigned listen_mode = 0;
  std::filesystem::path data_dir;
  std::string store;                                // sqlite, or a PostgreSQL URI
  std::optional<std::filesystem::path> quota_file;  // none: quota.json in the data directory
  bool has_hardware = false;
  std::chrono::milliseconds passivate_after{};
  std::size_t live_installs_max = 0;
  std::chrono::milliseconds keep_entries{};
  std::size_t connections_max = 0;
  std::size_t requests_in_flight_max = 0;
  std::size_t loops = 0;
  http::TokenFiles token_files;
  std::optional<http::TlsFiles> tls_files;  // none: plain HTTP
  std::chrono::milliseconds slow_request{};
  std::string log_level;
  std::string log_format;
};

// Thrown to end the program: --help and --version (0) or a usage error (2). The text has been
// printed.
struct Exit {
  int status = 0;
};

Options parse_options(int argc, char** argv);

}  // namespace credits::creditsd
