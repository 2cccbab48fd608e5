// An accepted ledger file has only installs that requests can name, and when written again reads
// the same.
#include <optional>
#include <string>
#include <vector>

#include "http/codec/identifiers.hpp"
#include "http/codec/ledger_file.hpp"
#include "http/codec/names.hpp"
#include "http/codec/response.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace {

using credits::http::codec::decode_ledger_file;
using credits::ledger::Row;

constexpr credits::ledger::Time now{std::chrono::milliseconds{1'790'000'000'000}};

std::string written(const std::vector<Row>& rows) {
  std::string members;
  for (const Row& row : rows) {
    members += (members.empty() ? "" : ",") + credits::http::codec::encode_ledger_member(row);
  }
  return "{\"rows\":{" + members + "}}";
}

}  // namespace

void credits::tests::try_bytes(std::string_view bytes) {
  std::optional<std::vector<Row>> rows;
  try {
    rows = decode_ledger_file(bytes, now);
  } catch (const http::codec::LedgerFileError& error) {
    expect(*error.what() != '\0', "an error says what is wrong");
    return;
  }
  if (!rows) return;
  for (const Row& row : *rows) {
    expect(!http::fault_of_install_id(row.install_id), "every install can be named");
    expect(!http::codec::fault_of_tier(row.tier_snapshot), "every store can keep the tier");
    expect(row.lifetime_consumed >= 0 && row.monthly_consumed >= 0, "no counter is negative");
  }
  expect(decode_ledger_file(written(*rows), now) == rows, "its export reads as the same ledger");
}
