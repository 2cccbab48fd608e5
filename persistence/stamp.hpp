// A stamp identifies an install's newest entry and its whole history. It travels with the row: a
// load returns both, the next mutation names the stamp that it follows, and the store accepts the
// mutation only if that stamp is still the newest. The store therefore need not remember what its
// callers have read.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

namespace credits::persistence {

using Hash = std::array<std::uint8_t, 32>;

struct Stamp {
  std::uint64_t version = 0;   // 0: there is no such install
  std::optional<Hash> hash{};  // of the newest entry, see chain.hpp; none: there is no entry, or it
                               // was written before entries had hashes
  // For the engine alone; callers neither read nor set them.
  std::uint64_t sequence = 0;  // SQLite: position of the newest entry in the journal
  std::uint64_t period = 0;    // SQLite: period in which it was known to be the newest

  // Whether they belong to the same history.
  friend bool operator==(const Stamp& a, const Stamp& b) {
    return a.version == b.version && a.hash == b.hash && a.sequence == b.sequence;
  }
};

}  // namespace credits::persistence
