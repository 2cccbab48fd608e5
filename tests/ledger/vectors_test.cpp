// Recorded answers of the JSON ledger: the rules must give the same answers.
#include <rapidjson/document.h>
#include <rapidjson/istreamwrapper.h>

#include <fstream>
#include <map>
#include <string>

#include "actors/ledger/rules.hpp"
#include "tests/catch.hpp"

namespace credits::ledger {
namespace {

using Json = rapidjson::Value;

rapidjson::Document read(const std::string& name) {
  std::ifstream file{CREDITS_TEST_DATA "/" + name};
  rapidjson::IStreamWrapper stream{file};
  rapidjson::Document document;
  document.ParseStream(stream);
  REQUIRE_FALSE(document.HasParseError());
  return document;
}

std::optional<std::int64_t> credits_of(const Json& value) {
  return value.IsNull() ? std::nullopt : std::optional{value.GetInt64()};
}

Quota quota_of_json(const Json& json) {
  Quota quota;
  for (const auto& tier : json.GetObject()) {
    const bool lifetime = tier.value.HasMember("lifetime");
    quota[tier.name.GetString()] = {
        lifetime ? Counter::lifetime : Counter::monthly,
        credits_of(tier.value[lifetime ? "lifetime" : "monthly"]),
        credits_of(tier.value[lifetime ? "geminiCapLifetime" : "geminiCapMonthly"])};
  }
  return quota;
}

Row row_of_json(const Json& json) {
  Row row;
  row.install_id = json["install_id"].GetString();
  row.tier_snapshot = json["tier_snapshot"].GetString();
  row.lifetime_consumed = json["lifetime_consumed"].GetInt64();
  row.lifetime_gemini_consumed = json["lifetime_gemini_consumed"].GetInt64();
  row.month = parse_month(json["month"].GetString()).value();
  row.monthly_consumed = json["monthly_consumed"].GetInt64();
  row.monthly_gemini_consumed = json["monthly_gemini_consumed"].GetInt64();
  row.last_active_at = parse_time(json["last_active_at"].GetString()).value();
  return row;
}

Backend backend_of_json(const Json& json) {
  return json == "gemini" ? Backend::gemini : Backend::hardware;
}

Balance balance_of_json(const Json& json) {
  return {credits_of(json["remaining"]),
          json["capped"] == "lifetime" ? Counter::lifetime : Counter::monthly,
          credits_of(json["gemini_remaining"]), 0};
}

Plan plan_of_json(const Json& json) {
  if (json["allowed"].GetBool()) return {backend_of_json(json["backend"]), std::nullopt};
  return {std::nullopt, json["reason"] == "out_of_credits"
                            ? Denial::out_of_credits
                            : Denial::gemini_cap_exceeded_no_hardware};
}

// `row` as it reads at `now`, with only the JSON ledger's fields.
Row as_seen(Row row, Time now) {
  roll_over(row, month_of(now));
  row.version = 0;
  return row;
}

TEST_CASE("every recorded decision is reproduced") {
  const auto decisions = read("decisions.json");
  REQUIRE(decisions.Size() == 1500);
  for (const Json& decision : decisions.GetArray()) {
    const Row row = row_of_json(decision["row"]);
    INFO(row.install_id);
    const Time now = std::chrono::sys_days{row.month / std::chrono::day{10}};
    const Balance balance =
        balance_of(row, row.tier_snapshot, quota_of_json(decision["quota"]), now);
    CHECK(balance == balance_of_json(decision["balance"]));
    CHECK(plan(balance, decision["has_hardware"].GetBool(), 1) == plan_of_json(decision["plan"]));
  }
}

TEST_CASE("every recorded sequence leads to the same rows, month by month") {
  const auto sequences = read("sequences.json");
  REQUIRE(sequences.Size() == 120);
  for (const Json& sequence : sequences.GetArray()) {
    const Quota quota = quota_of_json(sequence["quota"]);
    std::map<std::string, Row> rows;
    Time now{};
    for (const Json& step : sequence["steps"].GetArray()) {
      const std::string id = step["install_id"].GetString();
      now = parse_time(step["at"].GetString()).value();
      INFO(id << " at " << format(now));
      Row& row = rows.try_emplace(id, blank_row(id, now)).first->second;
      if (step["op"] == "commit") {
        const Debit debit{backend_of_json(step["backend"]), step["tier"].GetString(), 1};
        apply(row, commit_entry(row, debit, quota, now));
      } else if (row.version == 0) {
        apply(row, create_entry(row, now));
      }
      const Balance balance = balance_of(row, row.tier_snapshot, quota, now);
      CHECK(as_seen(row, now) == row_of_json(step["row"]));
      CHECK(balance == balance_of_json(step["balance"]));
      if (step["op"] == "plan") {
        CHECK(plan(balance, step["has_hardware"].GetBool(), 1) == plan_of_json(step["plan"]));
      }
    }
    CHECK(rows.size() == sequence["snapshot"].Size());
    for (const Json& json : sequence["snapshot"].GetArray()) {
      const Row expected = row_of_json(json);
      Row row = rows.at(expected.install_id);
      roll_over(row, expected.month);
      CHECK(as_seen(row, Time{}) == expected);
    }
  }
}

}  // namespace
}  // namespace credits::ledger
