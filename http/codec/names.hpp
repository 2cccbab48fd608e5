// The contract's names for the ledger's enumerations, and the rules for a tier's name.
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

// The fault of `tier`; nullopt if a row may have it. Rows of old ledgers may have tiers that no
// quota may have: empty ones, and ones with control characters.
std::optional<std::string> fault_of_tier(std::string_view tier);

}  // namespace credits::http::codec
