// The file of the JSON ledger that this service replaces, `{"rows":{id:row}}`: an import reads it,
// GET /v1/snapshot writes it.
//
// A row is read as the old module read it: a missing or null counter is 0, a missing tier is
// `core`, a missing month means the current month with monthly counters of 0, and fields unknown to
// the old module are ignored. Invalid values (a negative, fractional or textual counter, an invalid
// month, an id that no request can name) are refused by name.
#pragma once

#include <optional>
#include <stdexcept>
#include <string_view>
#include <vector>

#include "actors/ledger/row.hpp"

namespace credits::http::codec {

// The text names the place: line and column, or install and field.
class LedgerFileError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The text is not JSON.
class LedgerSyntaxError : public LedgerFileError {
 public:
  using LedgerFileError::LedgerFileError;
};

// The rows of the file, each with version 0; nullopt if the file has no `rows`. Throws
// LedgerFileError.
std::optional<std::vector<ledger::Row>> decode_ledger_file(std::string_view text, ledger::Time now);

}  // namespace credits::http::codec
