// The options that all commands share: which server, which token, and how to print.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <optional>
#include <string>

namespace credits::creditsctl {

struct Options {
  std::string url = "http://127.0.0.1:8787";
  std::filesystem::path token_file{};  // empty: no token
  std::filesystem::path ca_file{};     // empty: the system's trusted authorities
  bool json = false;
};

struct Url {
  bool is_https = false;
  std::string host{};  // an IPv6 address without its brackets
  int port = 0;
  std::string socket_path{};  // of a Unix socket, instead of host and port; else empty
};

void add_options(CLI::App& app, Options& options);

// Only those that say how to reach the server.
void add_server_options(CLI::App& app, Options& options);

// `--progress`, for commands that take long.
void add_progress_flag(CLI::App& command, bool& show_progress);

// Throws Failure if --url is not a valid URL.
Url url_of(const Options& options);

// Returns the first token in the file. Throws Failure if it has none, or others may read it.
std::string read_token(const std::filesystem::path& file);

}  // namespace credits::creditsctl
