// Reservations: their holds, how they end, and that they never overspend a cap.
#include <algorithm>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "actors/ledger/rules.hpp"
#include "tests/catch.hpp"

namespace credits::ledger {
namespace {

using std::chrono::hours;
using std::chrono::minutes;

const Time november = parse_time("2026-11-24T03:53:00.000Z").value();
const Time december = parse_time("2026-12-01T00:00:00.000Z").value();

const Quota quota{{"core", {Counter::lifetime, 100, 50}},
                  {"pro", {Counter::monthly, 1000, 500}},
                  {"max", {Counter::monthly, std::nullopt, std::nullopt}}};

Row created() {
  Row row = blank_row("install", november);
  apply(row, create_entry(row, november));
  return row;
}

Reservation reserve(Row& row, const Debit& hold, Time now = november, minutes ttl = minutes{10}) {
  const std::string id = "r" + std::to_string(row.version);
  apply(row, reserve_entry(row, hold, id, now + ttl, quota, now));
  return *find_reservation(row, id);
}

TEST_CASE("a reservation holds credits of its counter and month until it is due") {
  Row row = created();
  reserve(row, {Backend::gemini, "core", 30});
  reserve(row, {Backend::hardware, "core", 10});
  reserve(row, {Backend::gemini, "pro", 400});
  CHECK(balance_of(row, "core", quota, november) == Balance{60, Counter::lifetime, 20, 440});
  CHECK(balance_of(row, "pro", quota, november) == Balance{600, Counter::monthly, 100, 440});
  CHECK(balance_of(row, "max", quota, november) ==
        Balance{std::nullopt, Counter::monthly, std::nullopt, 440});
  const Time due = november + minutes{10};
  CHECK(balance_of(row, "core", quota, due - std::chrono::milliseconds{1}).held == 440);
  CHECK(balance_of(row, "core", quota, due) == Balance{100, Counter::lifetime, 50, 0});
  CHECK(live_reservations(row, november) == 3);
  CHECK(live_reservations(row, due) == 0);
}

TEST_CASE("a hold on a monthly counter binds its own month only") {
  Row row = created();
  reserve(row, {Backend::gemini, "pro", 400}, november, hours{24 * 30});
  CHECK(balance_of(row, "pro", quota, december) == Balance{1000, Counter::monthly, 500, 400});
}

TEST_CASE("a settle debits its amount and frees the rest") {
  Row row = created();
  const Reservation held = reserve(row, {Backend::gemini, "core", 30});
  apply(row, settle_entry(row, held, Backend::hardware, 10, november + minutes{1}));
  CHECK(row.reservations.empty());
  CHECK(row.lifetime_consumed == 10);
  CHECK(row.lifetime_gemini_consumed == 0);
  CHECK(row.last_active_at == november + minutes{1});
  CHECK(balance_of(row, "core", quota, november) == Balance{90, Counter::lifetime, 50, 0});
}

TEST_CASE("the entry of a settle in a later month has the hold's month") {
  Row row = created();
  const Reservation held = reserve(row, {Backend::gemini, "pro", 30}, november, hours{24 * 30});
  const Entry entry = settle_entry(row, held, Backend::gemini, 30, december);
  apply(row, entry);
  CHECK(format(entry.month) == "2026-11");
  CHECK(format(row.month) == "2026-12");
  CHECK(row.monthly_consumed == 0);
  CHECK(row.tier_snapshot == "pro");
}

TEST_CASE("a settle, a release and an expiry keep the counter that the reserve chose") {
  Row row = created();
  const Reservation held = reserve(row, {Backend::gemini, "core", 30});
  const Entry settle = settle_entry(row, held, Backend::gemini, 30, december);
  CHECK(settle.counter == Counter::lifetime);
  CHECK(settle.tier == "core");
  for (const Entry& entry :
       {release_entry(row, held, december), expire_entry(row, held, december)}) {
    CHECK(entry.counter == Counter::lifetime);
    CHECK(entry.credits == 30);
    CHECK(entry.reservation_id == held.id);
  }
}

TEST_CASE("reserve, release and expire leave the tier and time of the last debit unchanged") {
  Row row = created();
  const Time later = november + minutes{1};
  const Reservation first = reserve(row, {Backend::gemini, "pro", 1}, later);
  const Reservation second = reserve(row, {Backend::gemini, "pro", 1}, later);
  apply(row, release_entry(row, first, later));
  apply(row, expire_entry(row, second, later));
  CHECK(row.tier_snapshot == "core");
  CHECK(row.last_active_at == november);
  CHECK(row.reservations.empty());
  CHECK(row.version == 5);
}

TEST_CASE("a reserve can be an install's first mutation") {
  Row row = blank_row("install", november);
  reserve(row, {Backend::gemini, "pro", 1});
  CHECK(row.version == 1);
  CHECK(row.tier_snapshot == "core");
  Row replayed;
  replayed.install_id = "install";
  Row again = blank_row("install", november);
  apply(replayed, reserve_entry(again, {Backend::gemini, "pro", 1}, row.reservations[0].id,
                                november + minutes{10}, quota, november));
  CHECK(replayed == row);
}

TEST_CASE("a hold on hardware may settle on Gemini if the cap of its counter has room") {
  Row row = created();
  apply(row, commit_entry(row, {Backend::gemini, "core", 40}, quota, november));
  const Reservation core = reserve(row, {Backend::hardware, "core", 20});
  CHECK(has_gemini_room(row, core, 10, quota, november));
  CHECK_FALSE(has_gemini_room(row, core, 11, quota, november));
  const Reservation pro = reserve(row, {Backend::hardware, "pro", 20}, november, hours{24 * 30});
  CHECK(has_gemini_room(row, pro, 20, quota, november));
  CHECK_FALSE(has_gemini_room(row, pro, 1, quota, december));
  const Reservation max = reserve(row, {Backend::hardware, "max", 20}, november, hours{24 * 30});
  CHECK(has_gemini_room(row, max, 20, quota, december));
  const Quota changed{{"core", {Counter::monthly, 100, 50}}};
  CHECK_FALSE(has_gemini_room(row, core, 1, changed, november));
}

TEST_CASE("an entry that does not fit its row is refused and changes nothing") {
  Row row = created();
  const Reservation held = reserve(row, {Backend::gemini, "core", 30});
  Row ended = row;
  apply(ended, release_entry(ended, held, november));
  Entry unknown = settle_entry(row, held, Backend::gemini, 1, november);
  unknown.reservation_id = "unknown";
  Entry endless = reserve_entry(row, {Backend::gemini, "core", 1}, "x", november, quota, november);
  endless.expires_at.reset();
  const Entry repeated =
      reserve_entry(row, {Backend::gemini, "core", 1}, held.id, november, quota, november);
  const Row before = row;
  CHECK_THROWS_AS(apply(row, unknown), std::invalid_argument);
  CHECK_THROWS_AS(apply(row, endless), std::invalid_argument);
  CHECK_THROWS_AS(apply(row, repeated), std::invalid_argument);
  CHECK(row == before);
  CHECK_THROWS_AS(apply(ended, expire_entry(ended, held, november)), std::invalid_argument);
}

TEST_CASE("an entry is found by its key, and by the reservation that it ended") {
  Row row = created();
  const Reservation held = reserve(row, {Backend::gemini, "core", 30});
  Entry commit = commit_entry(row, {Backend::gemini, "core", 1}, quota, november);
  CHECK(replay_keys_of(commit).empty());
  commit.idempotency_key = held.id;
  commit.reservation_id = held.id;
  CHECK(replay_keys_of(commit) ==
        std::vector<ReplayKey>{{ReplayKey::Kind::idempotency_key, held.id},
                               {ReplayKey::Kind::ended_reservation, held.id}});
  Entry again = reserve_entry(row, {Backend::gemini, "core", 1}, "r", november, quota, november);
  CHECK(replay_keys_of(again).empty());
  CHECK(replay_keys_of(release_entry(row, held, november)).size() == 1);
}

TEST_CASE("the tier of a row is that of the debit reserved last") {
  Row row = created();
  const Reservation first = reserve(row, {Backend::gemini, "pro", 1});
  const Reservation second = reserve(row, {Backend::gemini, "max", 1});
  const Reservation third = reserve(row, {Backend::gemini, "core", 1});
  const auto settle = [&row](const Reservation& which) {
    apply(row, settle_entry(row, *find_reservation(row, which.id), which.backend, 1, november));
    return row.tier_snapshot;
  };
  CHECK(settle(second) == "max");
  CHECK(settle(first) == "max");
  CHECK(settle(third) == "core");
}

TEST_CASE("a commit overtakes all reservations, a release none") {
  Row row = created();
  const Reservation freed = reserve(row, {Backend::gemini, "core", 1});
  const Reservation late = reserve(row, {Backend::gemini, "core", 1});
  apply(row, release_entry(row, freed, november));
  CHECK_FALSE(find_reservation(row, late.id)->is_overtaken);
  apply(row, commit_entry(row, {Backend::gemini, "pro", 1}, quota, november));
  CHECK(find_reservation(row, late.id)->is_overtaken);
  const Reservation newer = reserve(row, {Backend::gemini, "max", 1});
  CHECK_FALSE(newer.is_overtaken);
  apply(row, settle_entry(row, *find_reservation(row, late.id), Backend::gemini, 1, november));
  CHECK(row.tier_snapshot == "pro");
}

TEST_CASE("a debit has room up to the limit of its counter, net of holds") {
  Row row = created();
  row.monthly_consumed = counter_max - 10;
  const auto room = [&row](const Debit& debit, const Reservation* freed = nullptr) {
    return has_counter_room(row, debit, quota, november, freed);
  };
  CHECK(room({Backend::hardware, "max", 10}));
  CHECK_FALSE(room({Backend::hardware, "max", 11}));
  CHECK(room({Backend::hardware, "core", 11}));
  const Reservation held = reserve(row, {Backend::hardware, "max", 4});
  CHECK(room({Backend::hardware, "max", 6}));
  CHECK_FALSE(room({Backend::hardware, "max", 7}));
  CHECK(room({Backend::hardware, "max", 10}, &held));
  CHECK(has_counter_room(row, {Backend::hardware, "max", 7}, quota, held.expires_at));
  CHECK(has_counter_room(row, {Backend::hardware, "max", 1'000}, quota, december));
}

TEST_CASE("a debit of Gemini needs room in the Gemini counter too") {
  Row row = created();
  row.monthly_gemini_consumed = counter_max;
  CHECK(has_counter_room(row, {Backend::hardware, "max", 1}, quota, november));
  CHECK_FALSE(has_counter_room(row, {Backend::gemini, "max", 1}, quota, november));
}

TEST_CASE("a counter that an older release let exceed the limit reads as the limit") {
  Row row = created();
  row.monthly_consumed = counter_max;
  apply(row, commit_entry(row, {Backend::gemini, "max", 5}, quota, november));
  CHECK(row.monthly_consumed == counter_max);
  CHECK(row.monthly_gemini_consumed == 5);
}

TEST_CASE("future times in an import become the current time") {
  Row old = created();
  old.version = 0;
  old.month = std::chrono::year{9999} / 12;
  old.monthly_consumed = 7;
  old.last_active_at = december;
  Row row = blank_row("install", november);
  apply(row, import_entry(old, november));
  CHECK(format(row.month) == "2026-11");
  CHECK(row.monthly_consumed == 7);
  CHECK(row.last_active_at == november);
}

// A random life that spends only through reservations, with a clock that jumps forth and back.
class Spender {
 public:
  explicit Spender(std::uint32_t seed) : random_{seed} {}

  void live() {
    now_ += minutes{pick(-600, 1'200)};
    const std::string tier = pick(0, 1) == 0 ? "core" : "pro";
    if (row_.reservations.empty() || pick(0, 2) > 0) return reserve_if_allowed(tier);
    end(row_.reservations[static_cast<std::size_t>(
        pick(0, static_cast<std::int64_t>(row_.reservations.size()) - 1))]);
  }

  const Row& row() const { return row_; }
  Time now() const { return now_; }

 private:
  void reserve_if_allowed(const std::string& tier) {
    const std::int64_t credits = pick(1, 60);
    const Plan decision = plan(balance_of(row_, tier, quota, now_), pick(0, 1) == 0, credits);
    if (!decision.backend) return;
    // Like a mutation: due reservations end first, permanently.
    const std::vector<Reservation> all = row_.reservations;
    for (const Reservation& each : all) {
      if (is_due(each, now_)) apply(row_, expire_entry(row_, each, now_));
    }
    reserve(row_, {*decision.backend, tier, credits}, now_, minutes{pick(1, 1'440)});
  }

  void end(const Reservation& chosen) {
    const Reservation held = chosen;
    if (is_due(held, now_)) return apply(row_, expire_entry(row_, held, now_));
    if (pick(0, 3) == 0) return apply(row_, release_entry(row_, held, now_));
    const std::int64_t credits = pick(0, held.credits);
    const bool to_gemini = pick(0, 1) == 0 && has_gemini_room(row_, held, credits, quota, now_);
    apply(row_,
          settle_entry(row_, held, to_gemini ? Backend::gemini : Backend::hardware, credits, now_));
  }

  std::int64_t pick(std::int64_t min, std::int64_t max) {
    return std::uniform_int_distribution{min, max}(random_);
  }

  std::mt19937 random_;
  Time now_ = november;
  Row row_ = created();
};

TEST_CASE("reservations alone overspend no cap, whatever the clock does") {
  const auto seed = GENERATE(range(1U, 51U));
  INFO("seed " << seed);
  Spender spender{seed};
  for (int step = 0; step < 200; ++step) {
    spender.live();
    const Row& row = spender.row();
    CHECK(row.lifetime_consumed <= 100);
    CHECK(row.lifetime_gemini_consumed <= 50);
    CHECK(row.monthly_consumed <= 1000);
    CHECK(row.monthly_gemini_consumed <= 500);
    std::int64_t held_on_core = 0;
    for (const Reservation& each : row.reservations) {
      if (each.counter == Counter::lifetime) held_on_core += each.credits;
    }
    CHECK(row.lifetime_consumed + held_on_core <= 100);
  }
}

}  // namespace
}  // namespace credits::ledger
