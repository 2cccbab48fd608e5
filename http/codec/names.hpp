// What the contract calls the ledger's choices.
#pragma once

#include <string_view>

#include "actors/ledger/entry.hpp"
#include "actors/ledger/rules.hpp"

namespace credits::http::codec {

std::string_view name_of(ledger::Backend backend);
std::string_view name_of(ledger::Counter counter);
std::string_view name_of(ledger::Denial denial);
std::string_view name_of(ledger::EntryKind kind);

}  // namespace credits::http::codec
