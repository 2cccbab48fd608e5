// The reservations of a row as one value, for a column.
#pragma once

#include <string>
#include <string_view>

#include "actors/ledger/row.hpp"

namespace credits::persistence {

// Empty: there are none.
std::string encode_holds(const ledger::Row& row);

// Adds them to `row`. Throws std::out_of_range if the bytes are not what encode_holds() made.
void decode_holds(std::string_view bytes, ledger::Row& row);

}  // namespace credits::persistence
