// Encodes the reservations of a row as one value, for a column.
#pragma once

#include <string>
#include <string_view>

#include "actors/ledger/row.hpp"

namespace credits::persistence {

// Returns an empty string if the row has none.
std::string encode_holds(const ledger::Row& row);

// Adds the reservations to `row`. Throws std::out_of_range if encode_holds() cannot have made the
// bytes.
void decode_holds(std::string_view bytes, ledger::Row& row);

}  // namespace credits::persistence
