#include "http/api/target.hpp"

#include <string>
#include <vector>

#include "actors/base/text.hpp"
#include "http/codec/identifiers.hpp"
#include "http/codec/names.hpp"
#include "http/codec/problem.hpp"
#include "tests/catch.hpp"
#include "tests/told.hpp"

namespace credits::http {
namespace {

using credits::tests::check_tells;
using Segments = std::vector<std::string_view>;

TEST_CASE("a target is split into path segments before anything is decoded") {
  CHECK(split_target("/v1/installs").segments == Segments{"v1", "installs"});
  CHECK(split_target("/v1/installs/a%2Fb/plan").segments ==
        Segments{"v1", "installs", "a%2Fb", "plan"});
  CHECK(split_target("/").segments == Segments{""});
  CHECK(split_target("/v1/").segments == Segments{"v1", ""});
  CHECK(split_target("/a?b=/c?d").segments == Segments{"a"});
  CHECK(split_target("/a?b=/c?d").query == "b=/c?d");
  CHECK(split_target("no-slash").segments.empty());
  CHECK(split_target("*").segments.empty());
}

TEST_CASE("percent-escapes are decoded once") {
  CHECK(percent_decoded("a%2Fb%2fc") == "a/b/c");
  CHECK(percent_decoded("%2525") == "%25");
  CHECK(percent_decoded("%00%ff") == std::string("\0\xff", 2));
  CHECK(percent_decoded("a+b") == "a+b");
  CHECK(percent_decoded("") == "");
}

TEST_CASE("a broken escape is not decoded") {
  const std::string text = GENERATE(values<std::string>({"%", "%2", "a%2", "%zz", "%-1", "%2x"}));
  INFO(text);
  CHECK_FALSE(percent_decoded(text));
}

TEST_CASE("query parameters are decoded one by one") {
  const auto parameters =
      decode_query("limit=5&prefix=a%26b%3D&after=", {"limit", "prefix", "after"});
  CHECK(parameters == QueryParameters{{"limit", "5"}, {"prefix", "a&b="}, {"after", ""}});
  CHECK(decode_query("", {}).empty());
}

TEST_CASE("a query parameter that is unknown, repeated or broken is refused by name") {
  struct Case {
    const char* query;
    const char* field;
  };
  const auto [query, field] = GENERATE(values<Case>({{"limti=5", "limti"},
                                                     {"limit=5&limit=5", "limit"},
                                                     {"limit=%", "limit"},
                                                     {"&limit=1", ""},
                                                     {"LIMIT=1", "LIMIT"}}));
  INFO(query);
  try {
    decode_query(query, {"limit"});
    FAIL("was accepted");
  } catch (const ProblemError& error) {
    CHECK(error.problem().status() == 422);
    CHECK(error.problem().code() == "invalid_request");
    CHECK(error.problem().field.value_or("") == field);
  }
}

TEST_CASE("an install id is 1 to 128 bytes of printable ASCII without space") {
  for (const std::string& id : {std::string{"a"}, std::string(128, '~'), std::string{"..."},
                                std::string{"a/b"}, std::string{"!\"#%{}"}}) {
    INFO(id);
    CHECK_FALSE(fault_of_install_id(id));
  }
  for (const std::string& id :
       {std::string{}, std::string(129, 'a'), std::string{"."}, std::string{".."},
        std::string{"a b"}, std::string{"a\n"}, std::string{"\x7f"}, std::string{"\xc3\xa4"},
        std::string("a\0b", 3)}) {
    INFO(base::printable(id));
    CHECK(fault_of_install_id(id));
  }
}

TEST_CASE("the fault of an id names the id and the byte") {
  const std::string told = fault_of_install_id(std::string("a\0b", 3)).value_or("");
  check_tells(told, {"printable ASCII", "byte 2 of \"a%00b\" is not"});
}

TEST_CASE("a bound of a list of ids has an id's characters and any length, including 0") {
  for (const std::string& bound : {std::string{}, std::string{".."}, std::string(2'000, '~')}) {
    CHECK_FALSE(fault_of_id_bound(bound, "after"));
  }
  for (const std::string& bound :
       {std::string{"\xff"}, std::string("a\0", 2), std::string{"a b"}}) {
    check_tells(fault_of_id_bound(bound, "after").value_or(""),
                {"after is", base::printable(bound)});
  }
}

TEST_CASE("a reservation id is 32 lower-case hex digits") {
  const std::string id = "0123456789abcdef0123456789abcdef";
  CHECK(is_reservation_id(id));
  for (const std::string& none : {std::string{}, id.substr(1), id + "0", "\xff" + id.substr(1),
                                  "A" + id.substr(1), "g" + id.substr(1), std::string(32, '\0')}) {
    INFO(base::printable(none));
    CHECK_FALSE(is_reservation_id(none));
  }
}

TEST_CASE("a tier is at most 64 bytes of UTF-8 without NUL") {
  for (const std::string& tier :
       {std::string{}, std::string(64, 'x'), std::string{"gr\u00f6\u00dfer\n"},
        std::string{"\U0001f600\x7f"}}) {
    INFO(tier);
    CHECK_FALSE(codec::fault_of_tier(tier));
  }
  for (const std::string& tier :
       {std::string(65, 'x'), std::string("a\0b", 3), std::string{"\xff"}, std::string{"\xc3"},
        std::string{"\xc0\x80"}, std::string{"\xed\xa0\x80"}, std::string{"\xf4\x90\x80\x80"}}) {
    check_tells(codec::fault_of_tier(tier).value_or(""),
                {"64 bytes", "\"" + base::printable(tier) + "\""});
  }
}

}  // namespace
}  // namespace credits::http
