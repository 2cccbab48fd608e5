// A stamp identifies an install's newest entry and all that led to it. It travels with the row: a
// load gives both, the next mutation names the stamp that it follows, and the store takes the
// mutation only if that is still the newest. The store therefore needs no memory of its own of what
// its callers have seen.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

namespace credits::persistence {

using Hash = std::array<std::uint8_t, 32>;

struct Stamp {
  std::uint64_t version = 0;   // 0: there is no such install
  std::optional<Hash> hash{};  // of the newest entry, see chain.hpp; none: it was written before
                               // entries had hashes, or there is none
  // The engine's own; nobody else reads or sets them.
  std::uint64_t sequence = 0;  // SQLite: place of the newest entry in the journal
  std::uint64_t period = 0;    // SQLite: when it was known to be the newest

  // Whether they are of the same history.
  friend bool operator==(const Stamp& a, const Stamp& b) {
    return a.version == b.version && a.hash == b.hash && a.sequence == b.sequence;
  }
};

}  // namespace credits::persistence
