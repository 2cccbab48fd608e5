// Shared by the benchmarks: a ledger of SQLite and actors in its own directory, as creditsd runs
// it, and rounds that are measured side by side.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "actors/environment.hpp"
#include "actors/interfaces.hpp"
#include "persistence/store.hpp"
#include "tools/running_ledger.hpp"

namespace credits::bench {

// A new directory below `parent`, removed with its contents at the end.
class Directory {
 public:
  explicit Directory(const std::filesystem::path& parent);
  ~Directory();
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  const std::filesystem::path path_;
};

class Ledger {
 public:
  // At least this many installs stay live.
  Ledger(const std::filesystem::path& parent, std::size_t live_installs);
  ~Ledger();
  Ledger(const Ledger&) = delete;
  Ledger& operator=(const Ledger&) = delete;

  const actors::Gateway& gateway() const { return running_->gateway(); }
  actors::Environment& environment() { return environment_; }
  const std::filesystem::path& directory() const { return directory_.path(); }

  // Commits once to each of this many installs, so that none is new.
  void fill(std::size_t installs);

  // Durable writes so far.
  std::uint64_t batches() const;

 private:
  const Directory directory_;
  std::unique_ptr<persistence::Store> store_;
  actors::Environment environment_;
  std::optional<RunningLedger> running_;
};

// Looks like a UUID, as real ids do: `00000000-0000-4000-8000-000000000042`.
std::string install_id_of(std::size_t number);

// Calls `work` until `seconds` are over. Returns the sum of its results per second.
double rate_of(double seconds, const std::function<std::size_t()>& work);

double median(std::vector<double> values);

}  // namespace credits::bench
