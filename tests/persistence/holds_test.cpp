// Damaged reservations.
#include "persistence/holds.hpp"

#include <stdexcept>
#include <string>

#include "tests/catch.hpp"

namespace credits::persistence {
namespace {

TEST_CASE("a stored reservation of negative credits is damage") {
  ledger::Row row;
  row.reservations.push_back({"r", "pro", ledger::Backend::gemini, ledger::Counter::lifetime, 5});
  std::string bytes = encode_holds(row);
  ledger::Row read;
  decode_holds(bytes, read);
  CHECK(read == row);
  const std::string five{"\x05\0\0\0\0\0\0\0", 8};
  bytes.replace(bytes.find(five), 8, std::string(8, '\xff'));
  CHECK_THROWS_AS(decode_holds(bytes, read), std::out_of_range);
}

}  // namespace
}  // namespace credits::persistence
