#include "actors/ledger/time.hpp"

#include <string>

#include "tests/catch.hpp"

namespace credits::ledger {
namespace {

using std::chrono::milliseconds;

TEST_CASE("a time is written and read as ISO 8601 in UTC with milliseconds") {
  struct Case {
    std::int64_t since_1970_ms;
    const char* text;
  };
  const auto [since_1970_ms, text] = GENERATE(values<Case>({
      {0, "1970-01-01T00:00:00.000Z"},
      {-1, "1969-12-31T23:59:59.999Z"},
      {951'782'400'000, "2000-02-29T00:00:00.000Z"},
      {1'795'492'380'007, "2026-11-24T03:53:00.007Z"},
      {253'402'300'799'999, "9999-12-31T23:59:59.999Z"},
  }));
  CHECK(format(Time{milliseconds{since_1970_ms}}) == text);
  CHECK(parse_time(text) == Time{milliseconds{since_1970_ms}});
}

TEST_CASE("a time without its milliseconds is read too") {
  CHECK(parse_time("2026-11-24T03:53:00Z") == parse_time("2026-11-24T03:53:00.000Z"));
}

TEST_CASE("an invalid time is not read") {
  const std::string text = GENERATE(values<std::string>({
      "",
      "2026-11-24",
      "2026-11-24T03:53:00.000",
      "2026-11-24T03:53:00.000+01:00",
      "2026-11-24 03:53:00.000Z",
      "2026-02-29T00:00:00.000Z",
      "2026-13-01T00:00:00.000Z",
      "2026-11-24T24:00:00.000Z",
      "2026-11-24T03:60:00.000Z",
      "2026-11-24T03:53:61.000Z",
      "2026-11-24T03:53:00.00Z",
      "2026-11-24T03:53:00.0000Z",
      "-026-11-24T03:53:00.000Z",
      "+026-11-24T03:53:00.000Z",
      "2026-11-24T03:53:00.000Zx",
  }));
  INFO(text);
  CHECK_FALSE(parse_time(text));
}

TEST_CASE("a month is written and read as YYYY-MM") {
  const Month november{std::chrono::year{2026}, std::chrono::November};
  CHECK(format(november) == "2026-11");
  CHECK(parse_month("2026-11") == november);
}

TEST_CASE("an invalid month is not read") {
  const std::string text = GENERATE(values<std::string>(
      {"", "2026", "2026-", "2026-1", "2026-00", "2026-13", "2026-11-", "26-11", "2026/11", "x"}));
  INFO(text);
  CHECK_FALSE(parse_month(text));
}

TEST_CASE("the month of a time is its calendar month in UTC") {
  CHECK(format(month_of(parse_time("2026-11-30T23:59:59.999Z").value())) == "2026-11");
  CHECK(format(month_of(parse_time("2026-12-01T00:00:00.000Z").value())) == "2026-12");
}

}  // namespace
}  // namespace credits::ledger
