// What every engine can keep as text: UTF-8 without NUL. PostgreSQL takes nothing else, and SQLite
// takes anything, which could never be migrated.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "persistence/store.hpp"

namespace credits::persistence {

// What of the entry is no text, as "tier"; nothing if all is.
std::optional<std::string> what_is_no_text(const ledger::Entry& entry);

// The same of a mutation, in words that name the install.
std::optional<std::string> what_is_no_text(const Mutation& mutation);

// Throws StoreError that names the first install with something that is no text.
void expect_text(std::span<const Mutation> mutations);

}  // namespace credits::persistence
