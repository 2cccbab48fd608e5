#include "actors/ledger/rules.hpp"

#include <algorithm>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/catch.hpp"

namespace credits::ledger {
namespace {

using std::chrono::milliseconds;

Time at(const std::string& text) { return parse_time(text).value(); }

const Time november = at("2026-11-24T03:53:00.000Z");
const Time december = at("2026-12-01T00:00:00.000Z");

const Quota quota{{"core", {Counter::lifetime, 100, 50}},
                  {"pro", {Counter::monthly, 1000, 500}},
                  {"max", {Counter::monthly, std::nullopt, std::nullopt}}};

Row created(Time now) {
  Row row = blank_row("install", now);
  apply(row, create_entry(row, now));
  return row;
}

void commit(Row& row, const Debit& debit, Time now) {
  apply(row, commit_entry(row, debit, quota, now));
}

TEST_CASE("a plan is decided by the credits left, then the Gemini cap, then the hardware") {
  struct Case {
    std::optional<std::int64_t> remaining;
    std::optional<std::int64_t> gemini_remaining;
    bool has_hardware;
    std::int64_t credits;
    Plan expected;
  };
  const Plan gemini{Backend::gemini, std::nullopt};
  const Plan hardware{Backend::hardware, std::nullopt};
  const Plan out{std::nullopt, Denial::out_of_credits};
  const Plan capped{std::nullopt, Denial::gemini_cap_exceeded_no_hardware};
  const auto unlimited = std::nullopt;
  const auto [remaining, gemini_remaining, has_hardware, credits, expected] =
      GENERATE_COPY(values<Case>({
          {5, 5, false, 5, gemini},
          {5, 5, false, 6, out},
          {5, 4, false, 5, capped},
          {5, 4, true, 5, hardware},
          {5, unlimited, false, 5, gemini},
          {unlimited, unlimited, false, 1'000'000, gemini},
          {unlimited, 0, true, 1, hardware},
          {unlimited, 0, false, 1, capped},
          {0, unlimited, true, 1, out},
          {0, 0, true, 1, out},
      }));
  CHECK(plan({remaining, Counter::lifetime, gemini_remaining, 0}, has_hardware, credits) ==
        expected);
}

TEST_CASE("a debit goes to the counter that its tier's quota caps") {
  struct Case {
    const char* tier;
    Backend backend;
    std::int64_t lifetime, lifetime_gemini, monthly, monthly_gemini;
  };
  const auto expected = GENERATE(values<Case>({
      {"core", Backend::gemini, 3, 3, 0, 0},
      {"core", Backend::hardware, 3, 0, 0, 0},
      {"pro", Backend::gemini, 0, 0, 3, 3},
      {"pro", Backend::hardware, 0, 0, 3, 0},
      {"max", Backend::gemini, 0, 0, 3, 3},
  }));
  Row row = created(november);
  commit(row, {expected.backend, expected.tier, 3}, november + milliseconds{1});
  CHECK(row.lifetime_consumed == expected.lifetime);
  CHECK(row.lifetime_gemini_consumed == expected.lifetime_gemini);
  CHECK(row.monthly_consumed == expected.monthly);
  CHECK(row.monthly_gemini_consumed == expected.monthly_gemini);
  CHECK(row.tier_snapshot == expected.tier);
  CHECK(row.last_active_at == november + milliseconds{1});
  CHECK(row.version == 2);
}

TEST_CASE("a cap binds whatever the tier's name") {
  const Quota odd{{"core", {Counter::monthly, 2, std::nullopt}},
                  {"pro", {Counter::lifetime, 2, std::nullopt}}};
  for (const std::string tier : {"core", "pro"}) {
    Row row = created(november);
    for (int i = 0; i < 2; ++i) {
      apply(row, commit_entry(row, {Backend::gemini, tier, 1}, odd, november));
    }
    CHECK(balance_of(row, tier, odd, november).remaining == 0);
  }
}

TEST_CASE("a debit beyond the balance is accepted, and the balance reads 0") {
  Row row = created(november);
  commit(row, {Backend::gemini, "core", 1'000'000}, november);
  CHECK(row.lifetime_consumed == 1'000'000);
  CHECK(balance_of(row, "core", quota, november) ==
        Balance{.remaining = 0, .capped = Counter::lifetime, .gemini_remaining = 0, .held = 0});
}

TEST_CASE("a row of a tier that the quota does not have is judged as core and keeps its name") {
  Row row = created(november);
  row.tier_snapshot = "retired";
  row.lifetime_consumed = 40;
  CHECK(balance_of(row, row.tier_snapshot, quota, november).remaining == 60);
  CHECK(row.tier_snapshot == "retired");
}

TEST_CASE("in a later month the monthly counters read 0 and the lifetime ones stay") {
  Row row = created(november);
  commit(row, {Backend::gemini, "pro", 7}, november);
  commit(row, {Backend::gemini, "core", 2}, november);
  CHECK(balance_of(row, "pro", quota, november).remaining == 993);
  CHECK(balance_of(row, "pro", quota, december).remaining == 1000);
  CHECK(balance_of(row, "pro", quota, december).gemini_remaining == 500);
  CHECK(balance_of(row, "core", quota, december).remaining == 98);
}

TEST_CASE("reading a row in a later month changes nothing; a debit makes the rollover permanent") {
  Row row = created(november);
  commit(row, {Backend::gemini, "pro", 7}, november);
  const Row before = row;
  balance_of(row, "pro", quota, december);
  CHECK(row == before);
  commit(row, {Backend::hardware, "pro", 1}, december);
  CHECK(format(row.month) == "2026-12");
  CHECK(row.monthly_consumed == 1);
  CHECK(row.monthly_gemini_consumed == 0);
}

TEST_CASE("a clock set back past a month's start grants no credits again") {
  Row row = created(december);
  commit(row, {Backend::gemini, "pro", 1000}, december);
  CHECK(balance_of(row, "pro", quota, november).remaining == 0);
  commit(row, {Backend::gemini, "pro", 1}, november);
  CHECK(format(row.month) == "2026-12");
  CHECK(row.monthly_consumed == 1001);
  CHECK(balance_of(row, "pro", quota, december).remaining == 0);
}

TEST_CASE("the balance is net of live reservations on the same counter and month") {
  const Month this_month = month_of(november);
  const Time later = november + std::chrono::minutes{10};
  Row row = created(november);
  row.reservations = {
      {"a", "core", Backend::gemini, Counter::lifetime, 5, this_month, later},
      {"b", "core", Backend::hardware, Counter::lifetime, 7, this_month, later},
      {"c", "pro", Backend::gemini, Counter::monthly, 11, this_month, december + milliseconds{1}},
      {"d", "core", Backend::gemini, Counter::lifetime, 13, this_month, november},  // expired
  };
  CHECK(balance_of(row, "core", quota, november) == Balance{88, Counter::lifetime, 45, 23});
  CHECK(balance_of(row, "pro", quota, november) == Balance{989, Counter::monthly, 489, 23});
  CHECK(balance_of(row, "pro", quota, december) == Balance{1000, Counter::monthly, 500, 11});
}

TEST_CASE("an imported row is unchanged, at version 1") {
  Row old = blank_row("install", november);
  old.tier_snapshot = "retired";
  old.lifetime_consumed = 1;
  old.lifetime_gemini_consumed = 2;
  old.month = month_of(at("2026-02-01T00:00:00.000Z"));
  old.monthly_consumed = 3;
  old.monthly_gemini_consumed = 4;
  old.last_active_at = at("2026-02-03T00:00:00.000Z");
  Row row = blank_row("install", november);
  apply(row, import_entry(old, november));
  old.version = 1;
  CHECK(row == old);
}

TEST_CASE("replaying a history always makes the same row") {
  Row row = blank_row("install", november);
  const Entry first = commit_entry(row, {Backend::gemini, "pro", 1}, quota, november);
  apply(row, first);
  Row replayed_later = blank_row("install", december);
  apply(replayed_later, first);
  CHECK(replayed_later == row);
}

TEST_CASE("an entry that does not fit a row is refused and leaves it unchanged") {
  Row row = created(november);
  const Row before = row;
  Entry skips = commit_entry(row, {Backend::gemini, "core", 1}, quota, november);
  ++skips.version;
  Entry repeats = create_entry(blank_row("install", november), november);
  Entry unknown_kind = commit_entry(row, {Backend::gemini, "core", 1}, quota, november);
  unknown_kind.kind = static_cast<EntryKind>(200);
  Entry no_counters = commit_entry(row, {Backend::gemini, "core", 1}, quota, november);
  no_counters.kind = EntryKind::import;
  Entry negative = commit_entry(row, {Backend::gemini, "core", 1}, quota, november);
  negative.credits = -1;
  Entry negative_counter = import_entry(row, november);
  negative_counter.imported->monthly_consumed = -1;
  for (const Entry& entry :
       {skips, repeats, unknown_kind, no_counters, negative, negative_counter}) {
    CHECK_THROWS_AS(apply(row, entry), std::invalid_argument);
    CHECK(row == before);
  }
}

TEST_CASE("a new install begins in the month of its first mutation, whenever its row was created") {
  Row row = blank_row("install", december);
  commit(row, {Backend::gemini, "pro", 1}, november);
  CHECK(format(row.month) == "2026-11");
  CHECK(row.monthly_consumed == 1);
}

// A random life of one install: debits in every tier, with a clock that jumps forth and back.
class Life {
 public:
  explicit Life(std::uint32_t seed) : random_{seed}, now_{november}, row_{created(november)} {}

  Entry live() {
    now_ += std::chrono::hours{pick(-600, 1200)};
    const std::vector<std::string> tiers{"core", "pro", "max"};
    const Debit debit{pick(0, 1) == 0 ? Backend::gemini : Backend::hardware,
                      tiers[static_cast<std::size_t>(pick(0, 2))], pick(1, 300)};
    Entry entry = commit_entry(row_, debit, quota, now_);
    apply(row_, entry);
    return entry;
  }

  const Row& row() const { return row_; }
  Time now() const { return now_; }

 private:
  std::int64_t pick(std::int64_t min, std::int64_t max) {
    return std::uniform_int_distribution{min, max}(random_);
  }

  std::mt19937 random_;
  Time now_;
  Row row_;
};

TEST_CASE("through any life, an install's balance is in bounds and its month never falls") {
  const auto seed = GENERATE(range(1U, 51U));
  INFO("seed " << seed);
  Life life{seed};
  for (int step = 0; step < 100; ++step) {
    const Row before = life.row();
    life.live();
    CHECK(life.row().month >= before.month);
    CHECK(life.row().lifetime_consumed >= before.lifetime_consumed);
    CHECK(life.row().lifetime_gemini_consumed <= life.row().lifetime_consumed);
    CHECK(life.row().monthly_gemini_consumed <= life.row().monthly_consumed);
    for (const auto& [tier, limits] : quota) {
      const Balance balance = balance_of(life.row(), tier, quota, life.now());
      CHECK(balance.remaining.has_value() == limits.limit.has_value());
      if (limits.limit) CHECK((*balance.remaining >= 0 && *balance.remaining <= *limits.limit));
      if (limits.gemini_cap) CHECK(*balance.gemini_remaining <= *limits.gemini_cap);
    }
  }
}

TEST_CASE("an install's entries add up to its row") {
  const auto seed = GENERATE(range(1U, 51U));
  INFO("seed " << seed);
  Life life{seed};
  std::vector<Entry> entries;
  for (int step = 0; step < 100; ++step) entries.push_back(life.live());

  std::int64_t lifetime = 0;
  std::int64_t monthly_gemini = 0;
  for (const Entry& entry : entries) {
    if (entry.counter == Counter::lifetime) lifetime += entry.credits;
    if (entry.counter == Counter::monthly && entry.month == life.row().month &&
        entry.backend == Backend::gemini) {
      monthly_gemini += entry.credits;
    }
  }
  CHECK(life.row().lifetime_consumed == lifetime);
  CHECK(life.row().monthly_gemini_consumed == monthly_gemini);

  Row replayed = created(november);
  for (const Entry& entry : entries) apply(replayed, entry);
  CHECK(replayed == life.row());
}

}  // namespace
}  // namespace credits::ledger
