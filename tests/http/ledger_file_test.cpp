// The file of the JSON ledger: its meaning, the faults that stop an import, and that it is written
// back unchanged.
#include "http/codec/ledger_file.hpp"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "http/codec/response.hpp"
#include "tests/catch.hpp"
#include "tests/ledger_fixtures.hpp"
#include "tests/told.hpp"

namespace credits::http::codec {
namespace {

using namespace credits::tests;

std::string export_of(const std::vector<ledger::Row>& rows) {
  std::string text = R"({"rows":{)";
  for (const auto& row : rows) {
    text += (text.back() == '{' ? "" : ",") + encode_ledger_member(row);
  }
  return text + "}}";
}

ledger::Row only_row_of(const std::string& fields) {
  const auto rows = decode_ledger_file(R"({"rows":{"a":)" + fields + "}}", november).value();
  REQUIRE(rows.size() == 1);
  return rows.front();
}

TEST_CASE("a real file is written back byte for byte") {
  std::ifstream file{CREDITS_TEST_DATA "/credits.json"};
  const std::string text{std::istreambuf_iterator<char>{file}, {}};
  const auto rows = decode_ledger_file(text, november).value();
  REQUIRE(rows.size() == 1'310);
  CHECK(export_of(rows) == text);
  CHECK(std::count_if(rows.begin(), rows.end(),
                      [](const auto& row) { return row.tier_snapshot == "core"; }) == 904);
  std::int64_t consumed = 0;
  for (const auto& row : rows) consumed += row.lifetime_consumed;
  CHECK(consumed == 7'343);
}

TEST_CASE("a row is read field by field") {
  const auto row = only_row_of(R"({"install_id":"a","tier_snapshot":"gold","lifetime_consumed":1,
      "lifetime_gemini_consumed":2,"month":"2026-02","monthly_consumed":3,
      "monthly_gemini_consumed":4,"last_active_at":"2026-02-03T04:05:06.007Z"})");
  CHECK(row.install_id == "a");
  CHECK(row.tier_snapshot == "gold");
  CHECK(row.lifetime_consumed == 1);
  CHECK(row.lifetime_gemini_consumed == 2);
  CHECK(ledger::format(row.month) == "2026-02");
  CHECK(row.monthly_consumed == 3);
  CHECK(row.monthly_gemini_consumed == 4);
  CHECK(ledger::format(row.last_active_at) == "2026-02-03T04:05:06.007Z");
  CHECK(row.version == 0);
}

TEST_CASE("missing and null fields are read as the old module read them") {
  const std::string fields = GENERATE(values<std::string>(
      {"{}", R"({"lifetime_consumed":null,"month":null,"tier_snapshot":null,"install_id":null})"}));
  const auto row = only_row_of(fields);
  CHECK(row.tier_snapshot == "core");
  CHECK(row.lifetime_consumed == 0);
  CHECK(row.monthly_consumed == 0);
  CHECK(row.month == ledger::month_of(november));
}

TEST_CASE("monthly counters without a month read 0") {
  CHECK(only_row_of(R"({"monthly_consumed":5,"monthly_gemini_consumed":5})").monthly_consumed == 0);
}

TEST_CASE("a counter may be written as 3.0, and an unknown field is ignored") {
  CHECK(only_row_of(R"({"lifetime_consumed":3.0,"note":"vip"})").lifetime_consumed == 3);
}

TEST_CASE("a file without rows is an empty ledger") {
  const std::string text =
      GENERATE(values<std::string>({"{}", R"({"rows":{}})", R"({"rows":null})", R"({"other":1})"}));
  CHECK(decode_ledger_file(text, november).value_or(std::vector<ledger::Row>{}).empty());
}

TEST_CASE("a broken file is refused, with the position of the fault") {
  struct Case {
    const char* text;
    std::vector<std::string> told;
  };
  const auto broken = GENERATE(values<Case>({
      {"", {"line 1, column 1"}},
      {"{\n \"rows\": {\n  \"a\": {", {"line 3, column 9"}},
      {"{\"rows\":{}} trailing", {"column 13"}},
      {"rows: []", {"line 1"}},
      {"[]", {"must be an object, not an array"}},
      {R"({"rows":[]})", {"rows", "must be an object, not an array"}},
      {R"({"rows":{"a":7}})", {"install \"a\"", "must be an object, not a number"}},
      {R"({"rows":{"a":{"lifetime_consumed":"7"}}})",
       {"install \"a\"", "lifetime_consumed", "must be a number, not a string"}},
      {R"({"rows":{"a":{"lifetime_gemini_consumed":-1}}})",
       {"install \"a\"", "lifetime_gemini_consumed", "from 0"}},
      {R"({"rows":{"a":{"monthly_consumed":1.5}}})", {"monthly_consumed", "whole number"}},
      {R"({"rows":{"a":{"monthly_gemini_consumed":1e300}}})", {"monthly_gemini_consumed"}},
      {R"({"rows":{"a":{"lifetime_consumed":9007199254740993}}})", {"lifetime_consumed", "whole"}},
      {R"({"rows":{"a":{"lifetime_consumed":true}}})", {"lifetime_consumed", "a boolean"}},
      {R"({"rows":{"a":{"month":"2026-13"}}})", {"month", "\"2026-13\" is not a month"}},
      {R"({"rows":{"a":{"month":11}}})", {"month", "a number"}},
      {R"({"rows":{"a":{"last_active_at":"yesterday"}}})", {"last_active_at", "\"yesterday\""}},
      {R"({"rows":{"a":{"tier_snapshot":1}}})", {"tier_snapshot", "a number"}},
      {R"({"rows":{"a":{"tier_snapshot":"co\u0000re"}}})",
       {"install \"a\"", "tier_snapshot", "without NUL", "\"co%00re\""}},
      {R"({"rows":{"a":{"install_id":"b"}}})", {"install \"a\"", "another install's"}},
      {R"({"rows":{"a":{},"a":{}}})", {"install \"a\" is given twice"}},
      {R"({"rows":{"a":{"month":"2026-11","month":"2026-11"}}})", {"month", "given twice"}},
      {R"({"rows":{"":{}}})", {"must not be empty"}},
      {R"({"rows":{"a b":{}}})", {"printable ASCII"}},
      {R"({"rows":{"..":{}}})", {"cannot be an install id"}},
  }));
  INFO(broken.text);
  const std::string told =
      told_by<LedgerFileError>([&] { decode_ledger_file(broken.text, november); });
  for (const std::string& part : broken.told) check_tells(told, {part});
}

TEST_CASE("an id may be anything that a request can name") {
  for (const std::string id : {"__proto__", "constructor", "a/b", "%2F", "\"", "<script>"}) {
    ledger::Row row = ledger::blank_row(id, november);
    const auto rows = decode_ledger_file(export_of({row}), november).value();
    REQUIRE(rows.size() == 1);
    CHECK(rows.front() == row);
  }
}

}  // namespace
}  // namespace credits::http::codec
