// What the benchmarks have in common: a ledger of SQLite and actors in a directory of its own, as
// creditsd runs it, and rounds that are measured side by side.
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

class Ledger {
 public:
  // Makes a directory below `parent`, and removes it with all that is in it at the end.
  explicit Ledger(const std::filesystem::path& parent);
  ~Ledger();
  Ledger(const Ledger&) = delete;
  Ledger& operator=(const Ledger&) = delete;

  const actors::gateway_actor& gateway() const { return running_->gateway(); }
  actors::Environment& environment() { return environment_; }
  const std::filesystem::path& directory() const { return directory_; }

  // Durable writes so far.
  std::uint64_t batches() const;

 private:
  const std::filesystem::path directory_;
  std::unique_ptr<persistence::Store> store_;
  actors::Environment environment_;
  std::optional<RunningLedger> running_;
};

// Like a UUID, as real ones are: `00000000-0000-4000-8000-000000000042`.
std::string install_id_of(std::size_t number);

// Calls `work` until `seconds` are over; `work` returns how much it has done. Returns that a
// second.
double rate_of(double seconds, const std::function<std::size_t()>& work);

double median(std::vector<double> values);

}  // namespace credits::bench
