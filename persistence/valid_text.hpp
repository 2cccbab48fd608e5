// Text that every engine can store: UTF-8 without NUL. PostgreSQL accepts nothing else; SQLite
// accepts anything, and could then never be migrated.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "persistence/store.hpp"

namespace credits::persistence {

// Names the first field of the entry that is not valid text, such as "tier"; nullopt if all are.
std::optional<std::string> find_invalid_text(const ledger::Entry& entry);

// Describes the first invalid field of a mutation, with the install; nullopt if all are valid.
std::optional<std::string> find_invalid_text(const Mutation& mutation);

// Throws a StoreError that names the first install with a field that is not valid text.
void expect_valid_text(std::span<const Mutation> mutations);

}  // namespace credits::persistence
