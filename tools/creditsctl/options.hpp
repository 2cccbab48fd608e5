// What every command is told: which server, with which token, and how to print.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <optional>
#include <string>

namespace credits::creditsctl {

struct Options {
  std::string url = "http://127.0.0.1:8787";
  std::filesystem::path token_file{};  // empty: no token
  std::filesystem::path ca_file{};     // empty: the authorities that the system trusts
  bool json = false;
};

struct Url {
  bool is_https = false;
  std::string host{};  // a v6 address without its brackets
  int port = 0;
  std::string socket_path{};  // of a Unix socket, instead of host and port; else empty
};

void add_options(CLI::App& app, Options& options);

// Those of them that say where the server is.
void add_server_options(CLI::App& app, Options& options);

// `--progress`, of commands that take long.
void add_progress_flag(CLI::App& command, bool& show_progress);

// Throws Failure if --url is none.
Url url_of(const Options& options);

// The first token of the file. Throws Failure if there is none, or others may read it.
std::string read_token(const std::filesystem::path& file);

}  // namespace credits::creditsctl
