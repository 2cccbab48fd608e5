// Entity tags, and the conditional headers that compare them.
#include "http/server/etag.hpp"

#include <string>
#include <string_view>
#include <vector>

#include "tests/catch.hpp"

namespace credits::http {
namespace {

TEST_CASE("equal content has equal tags, strong or weak") {
  CHECK(strong_etag_of("a") == strong_etag_of("a"));
  CHECK(strong_etag_of("a") != strong_etag_of("b"));
  CHECK(weak_etag_of("a") == "W/" + strong_etag_of("a"));
  CHECK(is_strong(strong_etag_of("a")));
  CHECK_FALSE(is_strong(weak_etag_of("a")));
  CHECK_FALSE(is_strong(""));
  CHECK(parse_tag_list({strong_etag_of("a")})->names(strong_etag_of("a")));
}

TEST_CASE("If-None-Match compares weakly") {
  struct Case {
    const char* list;
    const char* etag;
    bool is_known;
  };
  const auto [list, etag, is_known] = GENERATE(values<Case>({
      {R"("a")", R"("a")", true},
      {R"(W/"a")", R"("a")", true},
      {R"("a")", R"(W/"a")", true},
      {R"("x", "a")", R"("a")", true},
      {" * ", R"("a")", true},
      {R"("b")", R"("a")", false},
      {"", R"("a")", false},
      {"(several)", R"("a")", false},
  }));
  INFO(list << " of " << etag);
  CHECK(is_known_by(list, etag) == is_known);
}

TEST_CASE("If-Match compares strongly") {
  struct Case {
    std::vector<std::string_view> values;
    const char* etag;
    bool is_named;
  };
  const auto [values, etag, is_named] = GENERATE(Catch::Generators::values<Case>({
      {{R"("a")"}, R"("a")", true},
      {{R"(  "a"	)"}, R"("a")", true},
      {{R"("x", "a")"}, R"("a")", true},
      {{R"("x","a","y")"}, R"("a")", true},
      {{R"(,"x",, ,"a",)"}, R"("a")", true},
      {{R"("x")", R"("a")"}, R"("a")", true},
      {{"", R"("a")"}, R"("a")", true},
      {{R"("")"}, R"("")", true},
      {{R"("a,b")"}, R"("a,b")", true},
      {{R"("x,y,", "a")"}, R"("a")", true},
      {{"\"\xc3\xa9\""}, "\"\xc3\xa9\"", true},
      {{R"(W/"x", "a")"}, R"("a")", true},
      {{"*"}, R"("a")", true},
      {{" * "}, R"(W/"a")", true},

      {{R"("b")"}, R"("a")", false},
      {{R"("A")"}, R"("a")", false},
      {{R"("x,a")"}, R"("a")", false},
      {{R"("*")"}, R"("a")", false},
      {{R"(W/"a")"}, R"("a")", false},
      {{R"("a")"}, R"(W/"a")", false},
      {{R"(W/"a")"}, R"(W/"a")", false},
  }));
  INFO(values.front() << " of " << etag);
  const auto parsed = parse_tag_list(values);
  REQUIRE(parsed);
  CHECK(parsed->names(etag) == is_named);
}

TEST_CASE("an If-Match of weak tags alone matches nothing") {
  CHECK_FALSE(parse_tag_list({R"(W/"a", W/"b")"})->has_strong());
  CHECK(parse_tag_list({R"(W/"a", "b")"})->has_strong());
  CHECK_FALSE(parse_tag_list({R"(W/"a", W/"b")"})->is_any);
}

TEST_CASE("a parsed If-None-Match compares weakly") {
  for (const char* const list : {R"("a")", R"(W/"a")", R"("x", W/"a")", "*"}) {
    INFO(list);
    CHECK(parse_tag_list({list})->names_weakly(R"("a")"));
    CHECK(parse_tag_list({list})->names_weakly(R"(W/"a")"));
  }
  CHECK_FALSE(parse_tag_list({R"("b", W/"A")"})->names_weakly(R"("a")"));
}

TEST_CASE("a header of tags that is neither * nor a list of them is rejected") {
  using Values = std::vector<std::string_view>;
  const auto values = GENERATE(Catch::Generators::values<Values>({
      {""},          {" , ,"},        {"", ""},        {"a"},
      {R"("a)"},     {R"(a")"},       {R"(")"},        {R"("a"b")"},
      {R"("a""b")"}, {R"("a" "b")"},  {R"("a"; "b")"}, {R"("a", b)"},
      {R"('a')"},    {R"("a b")"},    {R"(w/"a")"},    {R"(W/ "a")"},
      {R"(W/a)"},    {"W/"},          {"**"},          {R"(*, "a")"},
      {R"("a", *)"}, {"*", R"("a")"}, {R"("a")", "*"}, {"*", "*"},
      {"\"a\x7f\""}, {"\"a\tb\""},    {R"("a")", "b"},
  }));
  INFO(values.front());
  CHECK_FALSE(parse_tag_list(values));
}

}  // namespace
}  // namespace credits::http
