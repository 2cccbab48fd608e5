#include "actors/judge.hpp"

#include <string>

#include "tests/actors/asking.hpp"
#include "tests/catch.hpp"
#include "tests/ledger_fixtures.hpp"

namespace credits::actors {
namespace {

using namespace credits::tests;

const std::function<Recorded(const Answer&)> record_answer = record;

JudgeContext at(ledger::Time now, bool has_hardware = false) {
  static std::uint64_t mutations = 0;
  return {quota, now, has_hardware, {1, ++mutations}, record_answer};
}

Verdict judge(ledger::Row& row, const decltype(Operation::action)& action,
              const JudgeContext& context = at(november)) {
  return actors::judge(row, {"a", action}, {}, context);
}

ledger::Row row_at_version_1() {
  ledger::Row row = ledger::blank_row("a", november);
  create(row);
  return row;
}

template <class Expected>
Expected answer_of(ledger::Row& row, const decltype(Operation::action)& action,
                   const JudgeContext& context = at(november)) {
  return std::get<Expected>(judge(row, action, context).answer);
}

TEST_CASE("a get of an unknown install creates nothing and names it") {
  ledger::Row row = ledger::blank_row("a", november);
  const Verdict verdict = judge(row, Get{});
  CHECK(verdict.entries.empty());
  CHECK(row.version == 0);
  CHECK(std::get<Refused>(verdict.answer).reason == Refusal::unknown_install);
  CHECK(std::get<Refused>(verdict.answer).value == "a");
}

TEST_CASE("create, plan and commit create a new install with one entry") {
  struct Case {
    decltype(Operation::action) action;
    ledger::EntryKind kind;
  };
  const auto [action, kind] = GENERATE(values<Case>({
      {Create{}, ledger::EntryKind::create},
      {Plan{}, ledger::EntryKind::create},
      {Commit{ledger::Backend::gemini, "core", 1}, ledger::EntryKind::commit},
  }));
  ledger::Row row = ledger::blank_row("a", november);
  const Verdict verdict = judge(row, action);
  REQUIRE(verdict.entries.size() == 1);
  CHECK(verdict.entries.front().kind == kind);
  CHECK(verdict.entries.front().version == 1);
  CHECK(row.version == 1);
}

TEST_CASE("on an existing install only a commit makes an entry") {
  ledger::Row row = row_at_version_1();
  CHECK(judge(row, Get{}).entries.empty());
  CHECK(judge(row, Create{}).entries.empty());
  CHECK(judge(row, Plan{}).entries.empty());
  CHECK_FALSE(judge(row, Commit{ledger::Backend::gemini, "core", 1}).entries.empty());
}

TEST_CASE("only the operation that created an install reports it as created") {
  ledger::Row row = ledger::blank_row("a", november);
  CHECK(answer_of<InstallView>(row, Create{}).created);
  CHECK_FALSE(answer_of<InstallView>(row, Create{}).created);
  CHECK_FALSE(answer_of<InstallView>(row, Get{}).created);
}

TEST_CASE("a tier that the quota does not have is refused by name and changes nothing") {
  const auto action = GENERATE(values<decltype(Operation::action)>(
      {Plan{"gold", {}, 1}, Commit{ledger::Backend::gemini, "gold", 1}}));
  ledger::Row row = row_at_version_1();
  const ledger::Row before = row;
  const auto refused = answer_of<Refused>(row, action);
  CHECK(refused.reason == Refusal::unknown_tier);
  CHECK(refused.value == "gold");
  CHECK(row == before);
}

TEST_CASE("a plan is for the requested tier, otherwise for the install's own") {
  ledger::Row row = row_at_version_1();
  row.tier_snapshot = "pro";
  CHECK(answer_of<PlanView>(row, Plan{}).balance.remaining == 1000);
  CHECK(answer_of<PlanView>(row, Plan{"core", {}, 1}).balance.remaining == 100);
  CHECK(row.tier_snapshot == "pro");
}

TEST_CASE("a plan uses the server's hardware setting if the request has none") {
  ledger::Row row = row_at_version_1();
  row.lifetime_gemini_consumed = 50;
  const JudgeContext with_hardware = at(november, true);
  CHECK(answer_of<PlanView>(row, Plan{}, with_hardware).plan.backend == ledger::Backend::hardware);
  CHECK(answer_of<PlanView>(row, Plan{{}, false, 1}, with_hardware).plan.denial ==
        ledger::Denial::gemini_cap_exceeded_no_hardware);
  CHECK(answer_of<PlanView>(row, Plan{{}, true, 1}).plan.backend == ledger::Backend::hardware);
}

TEST_CASE("a debit past a counter's bound is refused, names the counter, and changes nothing") {
  const auto action = GENERATE(values<decltype(Operation::action)>(
      {Commit{ledger::Backend::hardware, "max", 2}, Reserve{"max", {}, 2}}));
  ledger::Row row = row_at_version_1();
  row.monthly_consumed = ledger::counter_max - 1;
  const ledger::Row before = row;
  const auto refused = answer_of<Refused>(row, action);
  CHECK(refused.reason == Refusal::counter_overflow);
  CHECK(refused.value == "monthly");
  CHECK(row == before);
}

TEST_CASE(
    "a commit whose key is a reservation's id may name its tier even if the quota has lost it") {
  ledger::Row row = row_at_version_1();
  reserve(row, "r", 1, "pro");
  row.reservations.back().tier = "gone";
  const auto commit = [&row](const std::string& tier) {
    return actors::judge(row, {"a", Commit{ledger::Backend::gemini, tier, 1}, "r", "request"}, {},
                         at(november))
        .answer;
  };
  CHECK(std::get<Refused>(commit("silver")).reason == Refusal::unknown_tier);
  CHECK(std::get<Recorded>(commit("gone")).status == 200);
  CHECK(row.reservations.empty());
}

TEST_CASE("an install is shown in the current month, whatever month its stored row has") {
  ledger::Row row = row_at_version_1();
  commit(row, 7, "pro");
  const ledger::Row stored = row;
  const auto view = answer_of<InstallView>(row, Get{}, at(december));
  CHECK(ledger::format(view.row.month) == "2026-12");
  CHECK(view.row.monthly_consumed == 0);
  CHECK(view.balance.remaining == 1000);
  CHECK(row == stored);
}

}  // namespace
}  // namespace credits::actors
