#include <functional>
#include <string>

#include "http/codec/request.hpp"
#include "http/problem.hpp"
#include "tests/catch.hpp"

namespace credits::http::codec {
namespace {

Problem problem_of(const std::function<void()>& decode) {
  try {
    decode();
  } catch (const ProblemError& error) {
    return error.problem();
  }
  return {200, "nothing", "", ""};
}

TEST_CASE("a plan's fields are all optional") {
  for (const std::string body : {"", "{}", " {\n} "}) {
    const auto plan = decode_plan(body);
    CHECK_FALSE(plan.tier);
    CHECK_FALSE(plan.has_hardware);
    CHECK(plan.credits == 1);
  }
  const auto plan = decode_plan(R"({"tier":"pro","has_hardware":false,"credits":1000000})");
  CHECK(plan.tier == "pro");
  CHECK(plan.has_hardware == false);
  CHECK(plan.credits == 1'000'000);
}

TEST_CASE("a commit names its backend and tier") {
  const auto commit = decode_commit(R"({"tier":"\u0070ro","backend":"hardware"})");
  CHECK(commit.tier == "pro");
  CHECK(commit.backend == ledger::Backend::hardware);
  CHECK(commit.credits == 1);
}

TEST_CASE("a field that is wrong is named") {
  struct Case {
    const char* body;
    const char* field;
  };
  const auto [body, field] = GENERATE(values<Case>({
      {R"({"backend":"gemini"})", "tier"},
      {R"({"tier":"core"})", "backend"},
      {R"({"backend":"gemini","tier":null})", "tier"},
      {R"({"backend":"gemini","tier":1})", "tier"},
      {R"({"backend":"gemini","tier":["core"]})", "tier"},
      {R"({"backend":"Gemini","tier":"core"})", "backend"},
      {R"({"backend":"gemini\u0000","tier":"core"})", "backend"},
      {R"({"backend":true,"tier":"core"})", "backend"},
      {R"({"backend":"gemini","tier":"core","credits":0})", "credits"},
      {R"({"backend":"gemini","tier":"core","credits":-1})", "credits"},
      {R"({"backend":"gemini","tier":"core","credits":1000001})", "credits"},
      {R"({"backend":"gemini","tier":"core","credits":99999999999999999999})", "credits"},
      {R"({"backend":"gemini","tier":"core","credits":1.0})", "credits"},
      {R"({"backend":"gemini","tier":"core","credits":1e2})", "credits"},
      {R"({"backend":"gemini","tier":"core","credits":"1"})", "credits"},
      {R"({"backend":"gemini","tier":"core","credits":null})", "credits"},
      {R"({"backend":"gemini","tier":"core","credits":true})", "credits"},
      {R"({"backend":"gemini","tier":"core","credit":1})", "credit"},
      {R"({"backend":"gemini","tier":"core","has_hardware":true})", "has_hardware"},
      {R"({"backend":"gemini","tier":"core","tier":"core"})", "tier"},
      {R"({"backend":"gemini","tier":"core","t\u0069er":"core"})", "tier"},
  }));
  INFO(body);
  const Problem problem = problem_of([body = body] { decode_commit(body); });
  CHECK(problem.status == 422);
  CHECK(problem.code == "invalid_request");
  CHECK(problem.field.value_or("") == field);
  CHECK(problem.detail.find(field) != std::string::npos);
}

TEST_CASE("a plan's hardware is a boolean") {
  const std::string value = GENERATE(values<std::string>({"1", "\"true\"", "null", "[]"}));
  const auto problem = problem_of([&] { decode_plan("{\"has_hardware\":" + value + "}"); });
  CHECK(problem.field.value_or("") == "has_hardware");
}

TEST_CASE("a name that cannot be printed is named all the same") {
  const auto problem = problem_of([] { decode_plan("{\"\xc3\xa4\\n\":1}"); });
  CHECK(problem.status == 422);
  CHECK(problem.field == "\u00e4\n");
}

TEST_CASE("a body that is no object is refused") {
  const std::string body = GENERATE(values<std::string>({"[]", "null", "1", "\"x\"", "true"}));
  const auto problem = problem_of([&] { decode_plan(body); });
  CHECK(problem.status == 422);
  CHECK_FALSE(problem.field);
}

TEST_CASE("a body that is no JSON is refused, with the place of the fault") {
  const std::string body = GENERATE(values<std::string>({
      "{",
      "{}}",
      "{} {}",
      "{\"tier\":}",
      "{'tier':'core'}",
      "{\"tier\":\"core\",}",
      "{\"tier\":\"\xff\"}",
      "{\"tier\":\"\xc0\xaf\"}",
      "{\"tier\":\"\xed\xa0\x80\"}",
      "{\"tier\":\"\\ud800\"}",
      "{\"tier\":\"a\nb\"}",
      "NaN",
      "{\"credits\":01}",
      "\xef\xbb\xbf{}x",
      "// comment\n{}",
      " ",
  }));
  INFO(printable(body));
  const auto problem = problem_of([&] { decode_plan(body); });
  CHECK(problem.status == 400);
  CHECK(problem.code == "invalid_json");
  CHECK(problem.detail.find("line ") != std::string::npos);
}

TEST_CASE("a NUL does not hide what follows it") {
  const std::string hidden("{}\0{", 4);
  const std::string at_the_end("{}\0", 3);
  CHECK(problem_of([&] { decode_plan(hidden); }).code == "invalid_json");
  CHECK(problem_of([&] { decode_plan(at_the_end); }).code == "invalid_json");
}

TEST_CASE("nesting that is a million deep is refused and exhausts nothing") {
  const std::string deep(1'000'000, '[');
  CHECK(problem_of([&] { decode_plan(deep); }).code == "invalid_json");
  const std::string closed = std::string(1'000'000, '[') + std::string(1'000'000, ']');
  CHECK(problem_of([&] { decode_plan(closed); }).code == "invalid_request");
}

TEST_CASE("a call without fields takes an empty body or an empty object") {
  CHECK_NOTHROW(decode_nothing(""));
  CHECK_NOTHROW(decode_nothing("{}"));
  CHECK(problem_of([] { decode_nothing(R"({"tier":"core"})"); }).field == "tier");
}

}  // namespace
}  // namespace credits::http::codec
