// The contract, sentence by sentence; see model.hpp.
#include "tests/actors/model.hpp"

#include <algorithm>
#include <utility>
#include <variant>

#include "tests/actors/asking.hpp"

namespace credits::tests {
namespace {

using actors::Answer;
using actors::InstallView;
using actors::Operation;
using actors::PlanView;
using actors::Recorded;
using actors::Refusal;
using actors::Refused;
using actors::ReservationView;
using ledger::Backend;
using ledger::Counter;
using ledger::Reservation;
using ledger::Row;
using ledger::Time;

constexpr std::size_t reservations_max = 1'000;
constexpr std::chrono::hours remembered_for{24};

// "A row whose tier is no longer in the quota is judged by the quota of core."
const ledger::TierQuota& quota_for(std::string_view tier, const ledger::Quota& quota) {
  const auto found = quota.find(tier);
  return found != quota.end() ? found->second : quota.find("core")->second;
}

bool is_live(const Reservation& reservation, Time now) { return reservation.expires_at > now; }

// The credits spent and held on one counter of `row`, as of now.
struct Used {
  std::int64_t all = 0;
  std::int64_t gemini = 0;
};

Used consumed(const Row& row, Counter counter) {
  if (counter == Counter::lifetime) return {row.lifetime_consumed, row.lifetime_gemini_consumed};
  return {row.monthly_consumed, row.monthly_gemini_consumed};
}

bool counts_now(const Reservation& reservation, const Row& row) {
  return reservation.counter == Counter::lifetime || reservation.month == row.month;
}

Used used(const Row& row, Counter counter, Time now) {
  Used sum = consumed(row, counter);
  for (const auto& reservation : row.reservations) {
    if (!is_live(reservation, now) || reservation.counter != counter) continue;
    if (!counts_now(reservation, row)) continue;
    sum.all += reservation.credits;
    if (reservation.backend == Backend::gemini) sum.gemini += reservation.credits;
  }
  return sum;
}

std::optional<std::int64_t> left_of(std::optional<std::int64_t> cap, std::int64_t spent) {
  if (!cap) return std::nullopt;
  return std::max<std::int64_t>(0, *cap - spent);
}

bool has_room(std::optional<std::int64_t> left, std::int64_t credits) {
  return !left || *left >= credits;
}

ledger::Plan decide(const ledger::Balance& balance, bool has_hardware, std::int64_t credits) {
  if (!has_room(balance.remaining, credits)) return {{}, ledger::Denial::out_of_credits};
  if (has_room(balance.gemini_remaining, credits)) return {Backend::gemini, {}};
  if (has_hardware) return {Backend::hardware, {}};
  return {{}, ledger::Denial::gemini_cap_exceeded_no_hardware};
}

Refused refused(Refusal reason) { return {reason, {}}; }

Refused refusal_of(ledger::Denial denial) {
  return refused(denial == ledger::Denial::out_of_credits
                     ? Refusal::out_of_credits
                     : Refusal::gemini_cap_exceeded_no_hardware);
}

Recorded recorded(const ledger::Receipt& receipt, bool replayed) {
  return {receipt.status, receipt.body, replayed};
}

// The entry for the debit or hold that `reservation` describes.
ledger::Entry entry_of(const Reservation& reservation, ledger::EntryKind kind) {
  ledger::Entry entry;
  entry.kind = kind;
  entry.tier = reservation.tier;
  entry.backend = reservation.backend;
  entry.credits = reservation.credits;
  entry.counter = reservation.counter;
  entry.month = reservation.month;
  if (!reservation.id.empty()) entry.reservation_id = reservation.id;
  return entry;
}

}  // namespace

Model::Model(std::string install_id) { row_.install_id = std::move(install_id); }

Answer Model::run(const Operation& operation, const Surroundings& around) {
  const auto& action = operation.action;
  if (std::holds_alternative<actors::Get>(action)) return get(around);
  if (std::holds_alternative<actors::Create>(action)) return create(around);
  if (const auto* wish = std::get_if<actors::Plan>(&action)) return plan(*wish, around);
  if (const auto* debit = std::get_if<actors::Commit>(&action)) {
    return commit(*debit, operation, around);
  }
  if (const auto* wish = std::get_if<actors::Reserve>(&action)) {
    return reserve(*wish, operation, around);
  }
  if (const auto* wish = std::get_if<actors::Settle>(&action)) {
    return settle(*wish, operation, around);
  }
  return release(std::get<actors::Release>(action), around);
}

// "A read creates nothing."
Answer Model::get(const Surroundings& around) const {
  if (!exists()) return refused(Refusal::unknown_install);
  return view(around);
}

Answer Model::create(const Surroundings& around) {
  const bool is_new = !exists();
  if (is_new) {
    begin_mutation(around);
    ledger::Entry entry;
    entry.tier = row_.tier_snapshot;
    entry.month = row_.month;
    write(std::move(entry), around.now);
  }
  InstallView shown = view(around);
  shown.created = is_new;
  return shown;
}

// "Debits nothing. Creates the row if it is new."
Answer Model::plan(const actors::Plan& wish, const Surroundings& around) {
  if (wish.tier && !around.quota.contains(*wish.tier)) return refused(Refusal::unknown_tier);
  if (!exists()) create(around);
  const auto balance = balance_at(tier_of(wish.tier), around);
  return PlanView{decide(balance, wish.has_hardware.value_or(around.has_hardware), wish.credits),
                  balance};
}

// "Debits whatever the balance is. … A commit whose key is a reservation of that install ends it;
// was it settled before, the answer is 409 and nothing is debited."
Answer Model::commit(const actors::Commit& debit_wish, const Operation& operation,
                     const Surroundings& around) {
  if (auto known = answer_to_key(operation)) return *known;
  const auto& key = operation.idempotency_key;
  const Memory* ended = key ? memory_of(ended_, *key) : nullptr;
  if (ended && (ended->how == Kind::settle || ended->how == Kind::commit))
    return refused(Refusal::reservation_settled);
  const Reservation* held = key ? reservation_of(*key) : nullptr;
  const bool is_tier_of_the_hold =
      (held && held->tier == debit_wish.tier) || (ended && ended->tier == debit_wish.tier);
  if (!around.quota.contains(debit_wish.tier) && !is_tier_of_the_hold)
    return refused(Refusal::unknown_tier);

  begin_mutation(around);
  const Reservation* reservation = key ? reservation_of(*key) : nullptr;
  const bool was_reserved = reservation || (key && ended_.contains(*key));
  if (reservation) end(Reservation{*reservation}, Kind::commit, around.now);
  if (was_reserved) ended_[*key] = {around.now, Kind::commit, {}, false, debit_wish.tier};
  Reservation spent;
  spent.tier = debit_wish.tier;
  spent.backend = debit_wish.backend;
  spent.credits = debit_wish.credits;
  spent.counter = quota_for(debit_wish.tier, around.quota).counter;
  spent.month = row_.month;
  debit(spent, row_.version + 1, around);
  ledger::Entry entry = entry_of(spent, Kind::commit);
  entry.idempotency_key = key;
  if (was_reserved) entry.reservation_id = key;
  write(std::move(entry), around.now);
  return keep(view(around), operation, Kind::commit, around);
}

Answer Model::reserve(const actors::Reserve& wish, const Operation& operation,
                      const Surroundings& around) {
  if (auto known = answer_to_key(operation)) return *known;
  if (wish.tier && !around.quota.contains(*wish.tier)) return refused(Refusal::unknown_tier);
  const std::string tier = tier_of(wish.tier);
  const auto decision = decide(balance_at(tier, around),
                               wish.has_hardware.value_or(around.has_hardware), wish.credits);
  if (decision.denial) return refusal_of(*decision.denial);
  const auto live = std::count_if(row_.reservations.begin(), row_.reservations.end(),
                                  [&](const auto& each) { return is_live(each, around.now); });
  if (static_cast<std::size_t>(live) >= reservations_max)
    return refused(Refusal::too_many_reservations);

  begin_mutation(around);
  const Reservation held{around.reservation_id_at(row_.version + 1),
                         tier,
                         *decision.backend,
                         quota_for(tier, around.quota).counter,
                         wish.credits,
                         row_.month,
                         around.now + wish.ttl};
  row_.reservations.push_back(held);
  ledger::Entry entry = entry_of(held, Kind::reserve);
  entry.idempotency_key = operation.idempotency_key;
  entry.expires_at = held.expires_at;
  write(std::move(entry), around.now);
  began_[held.id] = row_.version;
  return keep(ReservationView{held, balance_at(tier, around)}, operation, Kind::reserve, around);
}

Answer Model::settle(const actors::Settle& wish, const Operation& operation,
                     const Surroundings& around) {
  if (const Memory* ended = memory_of(ended_, wish.reservation_id)) {
    if (ended->how == Kind::expire) return refused(Refusal::reservation_expired);
    if (ended->how == Kind::release) return refused(Refusal::reservation_released);
    if (!ended->receipt || ended->receipt->request != operation.request)
      return refused(Refusal::reservation_settled);
    return recorded(*ended->receipt, false);
  }
  const Reservation* found = reservation_of(wish.reservation_id);
  if (!found) return refused(Refusal::unknown_reservation);
  const Reservation held = *found;
  if (!is_live(held, around.now)) {
    begin_mutation(around);
    return refused(Refusal::reservation_expired);
  }
  Reservation spent = held;
  spent.credits = wish.credits.value_or(held.credits);
  spent.backend = wish.backend.value_or(held.backend);
  if (spent.credits > held.credits) return refused(Refusal::credits_exceed_hold);
  const bool changes_to_gemini =
      spent.backend == Backend::gemini && held.backend != Backend::gemini;
  if (changes_to_gemini && !has_gemini_room(held, spent.credits, around))
    return refused(Refusal::gemini_cap_exceeded);

  begin_mutation(around);
  end(held, Kind::settle, around.now);
  ledger::Entry entry = entry_of(spent, Kind::settle);
  entry.keeps_tier = began_.at(held.id) < tier_began_;
  debit(spent, began_.at(held.id), around);
  write(std::move(entry), around.now);
  const Recorded answer = record(view(around));
  ended_[held.id].receipt = ledger::Receipt{operation.request, answer.status, answer.body};
  return answer;
}

Answer Model::release(const actors::Release& wish, const Surroundings& around) {
  if (const Memory* ended = memory_of(ended_, wish.reservation_id)) {
    if (ended->how == Kind::settle || ended->how == Kind::commit)
      return refused(Refusal::reservation_settled);
    return view(around);
  }
  const Reservation* found = reservation_of(wish.reservation_id);
  if (!found) return refused(Refusal::unknown_reservation);
  const Reservation held = *found;
  begin_mutation(around);
  if (is_live(held, around.now)) {
    end(held, Kind::release, around.now);
    write(entry_of(held, Kind::release), around.now);
  }
  return view(around);
}

// "Left out of plan and reserve it means the row's tier_snapshot."
const std::string& Model::tier_of(const std::optional<std::string>& wished) const {
  return wished ? *wished : row_.tier_snapshot;
}

// "In a later month both monthly counters read 0. It never rolls backwards."
Row Model::row_at(Time now) const {
  Row row = row_;
  const auto month = ledger::month_of(now);
  if (exists() && month <= row.month) return row;
  row.month = month;
  row.monthly_consumed = 0;
  row.monthly_gemini_consumed = 0;
  if (!exists()) row.last_active_at = now;
  return row;
}

ledger::Balance Model::balance_at(std::string_view tier, const Surroundings& around) const {
  const auto& limits = quota_for(tier, around.quota);
  const Used spent = used(row_at(around.now), limits.counter, around.now);
  std::int64_t held = 0;
  for (const auto& reservation : row_.reservations)
    if (is_live(reservation, around.now)) held += reservation.credits;
  return {left_of(limits.limit, spent.all), limits.counter,
          left_of(limits.gemini_cap, spent.gemini), held};
}

InstallView Model::view(const Surroundings& around) const {
  return {row_at(around.now), balance_at(row_.tier_snapshot, around), false};
}

// "To gemini where its cap has room. … A hold on a monthly counter [of an earlier month] changes to
// gemini only where the tier has no Gemini cap." The same goes if the tier has another counter now.
bool Model::has_gemini_room(const Reservation& held, std::int64_t credits,
                            const Surroundings& around) const {
  const auto& limits = quota_for(held.tier, around.quota);
  if (!limits.gemini_cap) return true;
  const Row row = row_at(around.now);
  if (limits.counter != held.counter || !counts_now(held, row)) return false;
  return has_room(left_of(limits.gemini_cap, used(row, held.counter, around.now).gemini), credits);
}

const Model::Memory* Model::memory_of(const Memories& memories, const std::string& name) const {
  const auto found = memories.find(name);
  return found != memories.end() ? &found->second : nullptr;
}

const Reservation* Model::reservation_of(const std::string& id) const {
  const auto found = std::find_if(row_.reservations.begin(), row_.reservations.end(),
                                  [&](const auto& each) { return each.id == id; });
  return found != row_.reservations.end() ? &*found : nullptr;
}

// "The same key and request again is answered the same, and debits nothing; the same key with
// another request is 422."
std::optional<Answer> Model::answer_to_key(const Operation& operation) const {
  if (!operation.idempotency_key) return std::nullopt;
  const Memory* used_before = memory_of(keys_, *operation.idempotency_key);
  if (!used_before) return std::nullopt;
  if (used_before->receipt->request != operation.request)
    return refused(Refusal::idempotency_key_reused);
  return recorded(*used_before->receipt, true);
}

Answer Model::keep(const Answer& answer, const Operation& operation, Kind how,
                   const Surroundings& around) {
  if (!operation.idempotency_key) return answer;
  const Recorded kept = record(answer);
  keys_[*operation.idempotency_key] = {
      around.now, how, ledger::Receipt{operation.request, kept.status, kept.body}, false, {}};
  return kept;
}

// "The first mutation that finds [a reservation due] writes an expire entry for it." A mutation
// makes the current month the row's.
void Model::begin_mutation(const Surroundings& around) {
  row_ = row_at(around.now);
  expire_due(around.now);
}

void Model::expire_due(Time now) {
  const auto reservations = row_.reservations;
  for (const auto& reservation : reservations) {
    if (is_live(reservation, now)) continue;
    end(reservation, Kind::expire, now);
    write(entry_of(reservation, Kind::expire), now);
  }
}

void Model::end(const Reservation& reservation, Kind how, Time now) {
  const std::string id = reservation.id;
  const std::string tier = reservation.tier;
  std::erase_if(row_.reservations, [&](const auto& each) { return each.id == id; });
  ended_[id] = {now, how, {}, false, tier};
}

// "A hold on a monthly counter settles into the month it was taken in: in a later month that leaves
// the row's counters of the new month alone."
void Model::debit(const Reservation& spent, std::uint64_t began, const Surroundings& around) {
  if (began > tier_began_) {
    tier_began_ = began;
    row_.tier_snapshot = spent.tier;
    for (Reservation& other : row_.reservations)
      other.is_overtaken = began_.at(other.id) < tier_began_;
  }
  row_.last_active_at = around.now;
  if (!counts_now(spent, row_)) return;
  const bool is_lifetime = spent.counter == Counter::lifetime;
  (is_lifetime ? row_.lifetime_consumed : row_.monthly_consumed) += spent.credits;
  if (spent.backend != Backend::gemini) return;
  (is_lifetime ? row_.lifetime_gemini_consumed : row_.monthly_gemini_consumed) += spent.credits;
}

void Model::write(ledger::Entry entry, Time now) {
  entry.version = ++row_.version;
  entry.at = now;
  trail_.push_back(std::move(entry));
}

void Model::clock_shows(Time now) {
  for (Memories* memories : {&keys_, &ended_})
    for (auto& [name, memory] : *memories)
      if (now - memory.since >= remembered_for) memory.may_be_forgotten = true;
}

std::vector<ledger::ReplayKey> Model::doubtful_replay_keys(const Operation& operation) const {
  std::vector<ledger::ReplayKey> replay_keys;
  const auto add = [&](const Memories& memories, ledger::ReplayKey::Kind kind,
                       const std::string& name) {
    const Memory* memory = memory_of(memories, name);
    if (memory && memory->may_be_forgotten) replay_keys.push_back({kind, name});
  };
  if (const auto& key = operation.idempotency_key) {
    add(keys_, ledger::ReplayKey::Kind::idempotency_key, *key);
    add(ended_, ledger::ReplayKey::Kind::ended_reservation, *key);
  }
  if (const auto* settle = std::get_if<actors::Settle>(&operation.action))
    add(ended_, ledger::ReplayKey::Kind::ended_reservation, settle->reservation_id);
  if (const auto* release = std::get_if<actors::Release>(&operation.action))
    add(ended_, ledger::ReplayKey::Kind::ended_reservation, release->reservation_id);
  return replay_keys;
}

void Model::forget(const ledger::ReplayKey& name) {
  (name.kind == ledger::ReplayKey::Kind::idempotency_key ? keys_ : ended_).erase(name.text);
}

std::vector<ledger::Entry> Model::take_trail() { return std::exchange(trail_, {}); }

}  // namespace credits::tests
