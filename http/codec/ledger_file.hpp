// The file of the JSON ledger that this service replaces, `{"rows":{id:row}}`: read at an import,
// written by GET /v1/snapshot.
//
// A row is judged as the old module judged it: a counter that is missing or null is 0, a missing
// tier is `core`, a missing month has its counters read 0 in the current one, and fields that the
// old module did not know are passed over. What it could not have meant (a negative, fractional or
// textual counter, a month that is none, an id that no request can name) is refused by name.
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

// It is no JSON at all.
class LedgerSyntaxError : public LedgerFileError {
 public:
  using LedgerFileError::LedgerFileError;
};

// The rows of the file, each of version 0; nothing if it does not say which. Throws
// LedgerFileError.
std::optional<std::vector<ledger::Row>> decode_ledger_file(std::string_view text, ledger::Time now);

}  // namespace credits::http::codec
