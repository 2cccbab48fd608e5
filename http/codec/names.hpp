// What the contract calls the ledger's choices, and what a tier may be called.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "actors/ledger/entry.hpp"
#include "actors/ledger/rules.hpp"

namespace credits::http::codec {

std::string_view name_of(ledger::Backend backend);
std::string_view name_of(ledger::Counter counter);
std::string_view name_of(ledger::Denial denial);
std::string_view name_of(ledger::EntryKind kind);

inline constexpr std::size_t tier_bytes_max = 64;

// What is wrong with `tier`; nothing if a row may have it. A row may have more than a quota, as old
// ledgers do: it may be empty, and have control characters.
std::optional<std::string> fault_of_tier(std::string_view tier);

}  // namespace credits::http::codec
