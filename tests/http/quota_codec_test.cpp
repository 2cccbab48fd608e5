#include <string>

#include "http/codec/quota.hpp"
#include "tests/catch.hpp"
#include "tests/told.hpp"

namespace credits::http::codec {
namespace {

using ledger::Counter;

TEST_CASE("a quota is read tier by tier") {
  const auto quota = decode_quota(R"({"core":{"lifetime":100,"geminiCapLifetime":50},
      "pro":{"monthly":1000,"geminiCapMonthly":500}, "max":{"monthly":null,"geminiCapMonthly":null},
      "bare":{"monthly":0}, "open":{"lifetime":7}})");
  CHECK(quota == ledger::Quota{{"core", {Counter::lifetime, 100, 50}},
                               {"pro", {Counter::monthly, 1000, 500}},
                               {"max", {Counter::monthly, std::nullopt, std::nullopt}},
                               {"bare", {Counter::monthly, 0, std::nullopt}},
                               {"open", {Counter::lifetime, 7, std::nullopt}}});
}

TEST_CASE("a written quota reads the same") {
  const auto quota = GENERATE(values<ledger::Quota>(
      {default_quota(),
       {{"core", {Counter::monthly, std::nullopt, 5}}, {"a\"b", {Counter::lifetime, 0, 0}}}}));
  CHECK(decode_quota(encode(quota)) == quota);
}

TEST_CASE("each mistake in a quota is named with its tier and field") {
  struct Case {
    const char* text;
    const char* field;
  };
  const auto [text, field] = GENERATE(values<Case>({
      {R"([])", ""},
      {R"({})", "core"},
      {R"({"pro":{"monthly":1}})", "core"},
      {R"({"core":null})", "core"},
      {R"({"core":{}})", "core"},
      {R"({"core":{"geminiCapLifetime":1}})", "core"},
      {R"({"core":{"lifetime":1,"monthly":1}})", "core"},
      {R"({"core":{"lifetime":null}})", "core.lifetime"},
      {R"({"core":{"lifetime":-1}})", "core.lifetime"},
      {R"({"core":{"lifetime":1.5}})", "core.lifetime"},
      {R"({"core":{"lifetime":"1"}})", "core.lifetime"},
      {R"({"core":{"lifetime":9007199254740993}})", "core.lifetime"},
      {R"({"core":{"lifetime":1e30}})", "core.lifetime"},
      {R"({"core":{"lifetime":1,"geminiCapLifetime":-1}})", "core.geminiCapLifetime"},
      {R"({"core":{"lifetime":1,"geminiCapLifetime":true}})", "core.geminiCapLifetime"},
      {R"({"core":{"lifetime":1,"geminiCapMonthly":1}})", "core.geminiCapMonthly"},
      {R"({"core":{"lifetime":1,"lifetime":1}})", "core.lifetime"},
      {R"({"core":{"lifetime":1,"Lifetime":1}})", "core.Lifetime"},
      {R"({"core":{"lifetime":1},"pro":{"monthly":-1}})", "pro.monthly"},
      {R"({"core":{"lifetime":1},"pro":{"monthly":1,"geminiCapMonthly":[]}})",
       "pro.geminiCapMonthly"},
      {R"({"core":{"lifetime":1},"pro":{"monthly":1,"geminiCapLifetime":1}})",
       "pro.geminiCapLifetime"},
      {R"({"core":{"lifetime":1},"core":{"lifetime":1}})", "core"},
      {R"({"core":{"lifetime":1},"":{"lifetime":1}})", ""},
      {R"({"core":{"lifetime":1},"a\nb":{"lifetime":1}})", "a%0Ab"},
  }));
  INFO(text);
  try {
    decode_quota(text);
    FAIL("was accepted");
  } catch (const QuotaError& error) {
    CHECK(error.field().value_or("") == field);
    CHECK_FALSE(error.is_syntax());
    const std::string place{field};
    const std::string tier = place.substr(0, place.find('.'));
    CHECK(std::string{error.what()}.find(tier) != std::string::npos);
  }
}

TEST_CASE("the error of an invalid quota has its position") {
  const std::string text = GENERATE(values<std::string>({"", "{", "{\"core\":", "core: 1"}));
  try {
    decode_quota(text);
    FAIL("was accepted");
  } catch (const QuotaError& error) {
    CHECK(error.is_syntax());
    tests::check_tells(error.what(), {"line 1, column "});
  }
}

}  // namespace
}  // namespace credits::http::codec
