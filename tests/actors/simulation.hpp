// Random lives of a whole ledger: clients that read, commit, reserve, settle and release, with and
// without keys and in several tries, while the actors run in a random order, the store fails,
// stalls and is written to by another, the clock jumps, the quota changes, installs are passivated,
// and the process ends or is killed in the middle of a write.
//
// A life is a list of moves, each of which draws from a generator of its own. So a life that has a
// fault can be cut down to the few moves that it takes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "actors/ledger/entry.hpp"

namespace credits::tests {

struct Life {
  bool is_long = false;              // its clock moves by days; otherwise by seconds
  bool is_shared = false;            // its store is known to be written to by others too
  std::vector<std::uint32_t> moves;  // what each draws from
};

// `seed` makes the same life wherever it runs.
Life life_of(std::uint32_t seed);

// What became of a life.
struct Lived {
  std::optional<std::string> fault;  // the first thing that must not be; none: all is well
  std::vector<std::string> told;     // what happened, for people
  std::map<std::string, std::vector<ledger::Entry>> histories{};  // of each install, oldest first
};

Lived live(const Life& life);

// A part of `life`, which has a fault, that has one too and of which no move can be left out.
Life shortest(Life life);

// What is to be read of a life with a fault: that, the seed, and the shortest history of it.
std::string report(std::uint32_t seed);

}  // namespace credits::tests
