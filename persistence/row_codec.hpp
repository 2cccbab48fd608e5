// Rows as bytes, for what has no column of its own in the snapshots file and for the checksum.
//
// Integers are 8 bytes, least significant first; a string is its length and its bytes; a list is
// its length and its members.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "actors/ledger/row.hpp"

namespace credits::persistence {

// Reservations and remembered keys; empty if the row has none.
std::string encode_holds(const ledger::Row& row);

// Throws std::out_of_range if `bytes` are not what encode_holds() made.
void decode_holds(std::string_view bytes, ledger::Row& row);

// Over every field of the row and the sequence number of its newest entry.
std::uint64_t checksum_of(const ledger::Row& row, std::uint64_t last_sequence);

// A month as YYYYMM, for files.
std::int64_t to_number(ledger::Month month);
ledger::Month to_month(std::int64_t number);

}  // namespace credits::persistence
