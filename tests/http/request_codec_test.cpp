#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <variant>

#include "actors/base/text.hpp"
#include "http/codec/problem.hpp"
#include "http/codec/request.hpp"
#include "tests/catch.hpp"

namespace credits::http::codec {
namespace {

const std::string rid = "0123456789abcdef0123456789abcdef";

Problem problem_of(const std::function<void()>& decode) {
  try {
    decode();
  } catch (const ProblemError& error) {
    return error.problem();
  }
  throw std::logic_error{"the request was accepted"};
}

template <class Action>
Action decode(Op op, std::string_view body) {
  return std::get<Action>(decode_operation(op, {"a", rid, "key"}, body).action);
}

actors::Plan decode_plan(std::string_view body) { return decode<actors::Plan>(Op::plan, body); }

actors::Commit decode_commit(std::string_view body) {
  return decode<actors::Commit>(Op::commit, body);
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

TEST_CASE("a faulty field is named") {
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
  CHECK(problem.status() == 422);
  CHECK(problem.code() == "invalid_request");
  CHECK(problem.field.value_or("") == field);
  CHECK(problem.detail.find(field) != std::string::npos);
}

TEST_CASE("a plan's hardware is a boolean") {
  const std::string value = GENERATE(values<std::string>({"1", "\"true\"", "null", "[]"}));
  const auto problem = problem_of([&] { decode_plan("{\"has_hardware\":" + value + "}"); });
  CHECK(problem.field.value_or("") == "has_hardware");
}

TEST_CASE("an unprintable name is still named") {
  const auto problem = problem_of([] { decode_plan("{\"\xc3\xa4\\n\":1}"); });
  CHECK(problem.status() == 422);
  CHECK(problem.field == "\u00e4\n");
}

TEST_CASE("a body other than an object is refused") {
  const std::string body = GENERATE(values<std::string>({"[]", "null", "1", "\"x\"", "true"}));
  const auto problem = problem_of([&] { decode_plan(body); });
  CHECK(problem.status() == 422);
  CHECK_FALSE(problem.field);
}

TEST_CASE("invalid JSON is refused, with the position of the fault") {
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
  INFO(base::printable(body));
  const auto problem = problem_of([&] { decode_plan(body); });
  CHECK(problem.status() == 400);
  CHECK(problem.code() == "invalid_json");
  CHECK(problem.detail.find("line ") != std::string::npos);
}

TEST_CASE("a NUL does not hide the text after it") {
  const std::string hidden("{}\0{", 4);
  const std::string at_the_end("{}\0", 3);
  CHECK(problem_of([&] { decode_plan(hidden); }).code() == "invalid_json");
  CHECK(problem_of([&] { decode_plan(at_the_end); }).code() == "invalid_json");
}

TEST_CASE("nesting a million deep is refused and exhausts nothing") {
  const std::string deep(1'000'000, '[');
  CHECK(problem_of([&] { decode_plan(deep); }).code() == "invalid_json");
  const std::string closed = std::string(1'000'000, '[') + std::string(1'000'000, ']');
  CHECK(problem_of([&] { decode_plan(closed); }).code() == "invalid_request");
}

TEST_CASE("a call without fields accepts an empty body or an empty object") {
  const Op op = GENERATE(values<Op>({Op::get, Op::create, Op::release}));
  CHECK_NOTHROW(decode_operation(op, {"a", rid}, ""));
  CHECK_NOTHROW(decode_operation(op, {"a", rid}, "{}"));
  CHECK(problem_of([op] {
          decode_operation(op, {"a", rid}, R"({"tier":"core"})");
        }).field == "tier");
}

TEST_CASE("a reserve holds one credit for ten minutes by default") {
  const auto plain = decode<actors::Reserve>(Op::reserve, "");
  CHECK(plain.credits == 1);
  CHECK(plain.ttl == std::chrono::minutes{10});
  const auto longest = decode<actors::Reserve>(Op::reserve, R"({"ttl_seconds":86400})");
  CHECK(longest.ttl == std::chrono::hours{24});
  for (const std::string ttl : {"0", "86401", "\"1\"", "1.5"}) {
    const auto problem =
        problem_of([&] { decode<actors::Reserve>(Op::reserve, "{\"ttl_seconds\":" + ttl + "}"); });
    CHECK(problem.field == "ttl_seconds");
  }
}

TEST_CASE("a settle may debit nothing, and omitted fields default to the reservation's") {
  const auto plain = decode<actors::Settle>(Op::settle, "");
  CHECK(plain.reservation_id == rid);
  CHECK_FALSE(plain.backend);
  CHECK_FALSE(plain.credits);
  CHECK(decode<actors::Settle>(Op::settle, R"({"credits":0})").credits == 0);
}

TEST_CASE("an invalid reservation id is an unknown reservation, if the fields are right") {
  const Op op = GENERATE(values<Op>({Op::settle, Op::release}));
  for (const std::string& none :
       {std::string{}, std::string{"r"}, "\xff" + rid.substr(1), std::string("\0", 1), rid + "0"}) {
    const auto problem = problem_of([&] { decode_operation(op, {"a", none}, ""); });
    CHECK(problem.status() == 404);
    CHECK(problem.code() == "unknown_reservation");
    CHECK(problem.detail.find("\"" + base::printable(none) + "\"") != std::string::npos);
    CHECK(problem_of([&] { decode_operation(op, {"a", none}, R"({"x":1})"); }).status() == 422);
  }
}

TEST_CASE("equal requests have one canonical form, whatever their order and white space") {
  const auto spelling = [](Op op, std::string_view body) {
    return decode_operation(op, {"a", rid, "key"}, body).request;
  };
  const std::string request = spelling(Op::commit, R"({"backend":"gemini","tier":"core"})");
  CHECK(request == spelling(Op::commit, " { \"tier\" : \"c\\u006fre\",\n\"backend\":\"gemini\"}"));
  CHECK(request != spelling(Op::commit, R"({"backend":"gemini","tier":"pro"})"));
  CHECK(request != spelling(Op::commit, R"({"backend":"gemini","tier":"core","credits":1})"));
  CHECK(spelling(Op::reserve, "") == spelling(Op::reserve, "{}"));
  CHECK(spelling(Op::reserve, "") != spelling(Op::settle, ""));
}

TEST_CASE("only operations that are not idempotent by themselves keep their key") {
  for (const Op op : {Op::get, Op::create, Op::plan, Op::settle, Op::release}) {
    CHECK_FALSE(decode_operation(op, {"a", rid, "key"}, "").idempotency_key);
  }
  CHECK(decode_operation(Op::reserve, {"a", {}, "key"}, "").idempotency_key == "key");
}

TEST_CASE("an operation of a batch reads like the single call") {
  const auto batch = decode_batch(R"({"operations":[
      {"op":"commit","install_id":"a","backend":"gemini","tier":"core","idempotency_key":"k"},
      {"op":"settle","install_id":"a/b","credits":2,
       "reservation_id":"0123456789abcdef0123456789abcdef"}]})");
  REQUIRE(batch.size() == 2);
  const auto& commit = std::get<actors::Operation>(batch[0]);
  CHECK(commit.install_id == "a");
  CHECK(commit.idempotency_key == "k");
  CHECK(commit.request ==
        decode_operation(Op::commit, {"b", {}, "k"}, R"({"tier":"core","backend":"gemini"})")
            .request);
  const auto& settle = std::get<actors::Operation>(batch[1]);
  CHECK(std::get<actors::Settle>(settle.action).reservation_id == rid);
  CHECK(settle.request == decode_operation(Op::settle, {"a", rid}, R"({"credits":2})").request);
}

TEST_CASE("a faulty operation of a batch has its problem in its place") {
  struct Case {
    const char* operation;
    int status;
    const char* field;
  };
  const auto [operation, status, field] = GENERATE(values<Case>({
      {"1", 422, ""},
      {"{}", 422, "op"},
      {R"({"op":1})", 422, "op"},
      {R"({"op":"spend","install_id":"a"})", 422, "op"},
      {R"({"op":"get"})", 422, "install_id"},
      {R"({"op":"get","install_id":1})", 422, "install_id"},
      {R"({"op":"get","install_id":"a b"})", 400, "install_id"},
      {R"({"op":"get","install_id":"a","tier":"core"})", 422, "tier"},
      {R"({"op":"get","install_id":"a","reservation_id":"r"})", 422, "reservation_id"},
      {R"({"op":"settle","install_id":"a"})", 422, "reservation_id"},
      {R"({"op":"settle","install_id":"a","reservation_id":"\u0000"})", 404, ""},
      {R"({"op":"release","install_id":"a","reservation_id":"r"})", 404, ""},
      {R"({"op":"reserve","install_id":"a","idempotency_key":"a b"})", 400, "idempotency_key"},
      {R"({"op":"get","install_id":"a","idempotency_key":1})", 422, "idempotency_key"},
      {R"({"op":"get","op":"get","install_id":"a"})", 422, "op"},
  }));
  INFO(operation);
  const std::string good = R"({"op":"get","install_id":"a"})";
  const auto batch =
      decode_batch("{\"operations\":[" + good + "," + std::string{operation} + "," + good + "]}");
  REQUIRE(batch.size() == 3);
  CHECK(std::holds_alternative<actors::Operation>(batch[0]));
  CHECK(std::get<Problem>(batch[1]).status() == status);
  CHECK(std::get<Problem>(batch[1]).field.value_or("") == field);
  CHECK(std::holds_alternative<actors::Operation>(batch[2]));
}

TEST_CASE("a batch with no operations, too many, or invalid ones is refused") {
  std::string too_many = R"({"operations":[0)";
  for (std::size_t i = 0; i < batch_operations_max; ++i) too_many += ",0";
  too_many += "]}";
  const std::string body = GENERATE_COPY(
      values<std::string>({"", "{}", R"({"operations":[]})", R"({"operations":{}})", too_many}));
  CHECK(problem_of([&] { decode_batch(body); }).field == "operations");
}

}  // namespace
}  // namespace credits::http::codec
