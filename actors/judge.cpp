#include "actors/judge.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <iterator>
#include <utility>

namespace credits::actors {

namespace {

using ledger::Entry;
using ledger::EntryKind;
using ledger::ReplayKey;

std::string to_hex(const ledger::MutationId& id) {
  std::array<char, 33> text{};
  std::snprintf(text.data(), text.size(), "%016llx%016llx",
                static_cast<unsigned long long>(id.high), static_cast<unsigned long long>(id.low));
  return text.data();
}

ReplayKey ended(const std::string& reservation_id) {
  return {ReplayKey::Kind::ended_reservation, reservation_id};
}

// A commit whose key is the reservation's id settles it too.
bool is_settled_by(const Entry& end) {
  return end.kind == EntryKind::settle || end.kind == EntryKind::commit;
}

Refusal refusal_of(ledger::Denial denial) {
  return denial == ledger::Denial::out_of_credits ? Refusal::out_of_credits
                                                  : Refusal::gemini_cap_exceeded_no_hardware;
}

class Judge {
 public:
  Judge(ledger::Row& row, const Operation& operation, const Remembered& remembered,
        const JudgeContext& context)
      : row_{row}, operation_{operation}, remembered_{remembered}, context_{context} {}

  Verdict judge() {
    Answer answer = run();
    return {std::move(entries_), std::move(answer)};
  }

  Answer operator()(const Get&) {
    if (!exists()) return Refused{Refusal::unknown_install, row_.install_id};
    return view();
  }

  Answer operator()(const Create&) {
    const bool is_new = !exists();
    create_if_new();
    InstallView install = view();
    install.created = is_new;
    return install;
  }

  Answer operator()(const Plan& asked) {
    if (asked.tier && !is_known(*asked.tier)) return unknown_tier(*asked.tier);
    create_if_new();
    const ledger::Balance balance = balance_of(asked.tier.value_or(row_.tier_snapshot));
    return PlanView{plan(balance, asked.has_hardware, asked.credits), balance};
  }

  Answer operator()(const Commit& debit) {
    const auto& key = operation_.idempotency_key;
    const Entry* end = key ? end_of(*key) : nullptr;
    if (end && is_settled_by(*end)) return Refused{Refusal::reservation_settled, *key};
    const auto* held = key ? ledger::find_reservation(row_, *key) : nullptr;
    const bool settles = end || held;
    if (!is_known(debit.tier) && !(settles && debit.tier == (end ? end->tier : held->tier))) {
      return unknown_tier(debit.tier);
    }
    if (!has_counter_room(debit, held)) return counter_overflow(debit.tier);
    expire_due();
    Entry entry = ledger::commit_entry(row_, debit, context_.quota, context_.now);
    if (settles) entry.reservation_id = key;
    write(std::move(entry));
    return view();
  }

  Answer operator()(const Reserve& asked) {
    if (asked.tier && !is_known(*asked.tier)) return unknown_tier(*asked.tier);
    const std::string tier = asked.tier.value_or(row_.tier_snapshot);
    const ledger::Plan decision = plan(balance_of(tier), asked.has_hardware, asked.credits);
    if (decision.denial) return refused_by(tier, refusal_of(*decision.denial));
    if (ledger::live_reservations(row_, context_.now) >= live_reservations_max) {
      return Refused{Refusal::too_many_reservations, row_.install_id};
    }
    const ledger::Debit hold{decision.backend.value(), tier, asked.credits};
    if (!has_counter_room(hold)) return counter_overflow(tier);
    expire_due();
    write(ledger::reserve_entry(row_, hold, to_hex(context_.mutation_id), context_.now + asked.ttl,
                                context_.quota, context_.now));
    return ReservationView{row_.reservations.back(), balance_of(tier)};
  }

  Answer operator()(const Settle& asked) {
    const auto* found = ledger::find_reservation(row_, asked.reservation_id);
    if (!found) return settle_again(asked.reservation_id);
    const ledger::Reservation held = *found;
    if (ledger::is_due(held, context_.now)) {
      expire_due();
      return Refused{Refusal::reservation_expired, held.id};
    }
    const ledger::Backend backend = asked.backend.value_or(held.backend);
    const std::int64_t credits = asked.credits.value_or(held.credits);
    if (credits > held.credits) {
      return Refused{Refusal::credits_exceed_hold, std::to_string(held.credits)};
    }
    if (backend == ledger::Backend::gemini && held.backend != backend &&
        !ledger::has_gemini_room(row_, held, credits, context_.quota, context_.now)) {
      return refused_by(held.tier, Refusal::gemini_cap_exceeded);
    }
    expire_due();
    write(ledger::settle_entry(row_, held, backend, credits, context_.now));
    return recorded(view());
  }

  Answer operator()(const Release& asked) {
    const auto* found = ledger::find_reservation(row_, asked.reservation_id);
    if (!found) return release_again(asked.reservation_id);
    const ledger::Reservation held = *found;
    expire_due();
    if (!ledger::is_due(held, context_.now)) {
      write(ledger::release_entry(row_, held, context_.now));
    }
    return view();
  }

 private:
  Answer run() {
    if (!operation_.idempotency_key) return std::visit(*this, operation_.action);
    const ReplayKey key{ReplayKey::Kind::idempotency_key, *operation_.idempotency_key};
    if (const auto first = remembered_.find(key); first != remembered_.end()) {
      return replay_of(first->second);
    }
    Answer answer = std::visit(*this, operation_.action);
    if (std::holds_alternative<Refused>(answer)) return answer;
    entries_.back().idempotency_key = operation_.idempotency_key;
    return recorded(answer);
  }

  // Keeps `answer` in the operation's last entry.
  Answer recorded(const Answer& answer) {
    Recorded kept = context_.record(answer);
    entries_.back().receipt = ledger::Receipt{operation_.request, kept.status, kept.body};
    return kept;
  }

  Answer replay_of(const Entry& first) const {
    const ledger::Receipt& receipt = first.receipt.value();
    if (receipt.request != operation_.request) {
      return Refused{Refusal::idempotency_key_reused, *operation_.idempotency_key};
    }
    return Recorded{receipt.status, receipt.body, true};
  }

  Answer settle_again(const std::string& reservation_id) const {
    const Entry* end = end_of(reservation_id);
    if (!end) return Refused{Refusal::unknown_reservation, reservation_id};
    if (end->kind == EntryKind::expire) {
      return Refused{Refusal::reservation_expired, reservation_id};
    }
    if (end->kind == EntryKind::release) {
      return Refused{Refusal::reservation_released, reservation_id};
    }
    const bool is_same = end->kind == EntryKind::settle && end->receipt &&
                         end->receipt->request == operation_.request;
    if (!is_same) return Refused{Refusal::reservation_settled, reservation_id};
    return Recorded{end->receipt->status, end->receipt->body};
  }

  Answer release_again(const std::string& reservation_id) const {
    const Entry* end = end_of(reservation_id);
    if (!end) return Refused{Refusal::unknown_reservation, reservation_id};
    if (is_settled_by(*end)) return Refused{Refusal::reservation_settled, reservation_id};
    return view();
  }

  bool exists() const { return row_.version > 0; }

  bool is_known(const std::string& tier) const { return context_.quota.contains(tier); }

  bool has_counter_room(const ledger::Debit& debit,
                        const ledger::Reservation* freed = nullptr) const {
    return ledger::has_counter_room(row_, debit, context_.quota, context_.now, freed);
  }

  Answer counter_overflow(const std::string& tier) const {
    const bool is_lifetime =
        ledger::quota_of(context_.quota, tier).counter == ledger::Counter::lifetime;
    return Refused{Refusal::counter_overflow, is_lifetime ? "lifetime" : "monthly"};
  }

  // Names `tier`, or the fallback tier if the quota no longer has `tier`.
  Answer refused_by(const std::string& tier, Refusal reason) const {
    if (is_known(tier)) return Refused{reason, tier};
    return Refused{reason, std::string{ledger::fallback_tier}, tier};
  }

  static Answer unknown_tier(const std::string& tier) {
    return Refused{Refusal::unknown_tier, tier};
  }

  // The entry that ended the reservation.
  const Entry* end_of(const std::string& reservation_id) const {
    const auto found = remembered_.find(ended(reservation_id));
    return found == remembered_.end() ? nullptr : &found->second;
  }

  InstallView view() const { return view_of(row_, context_.quota, context_.now); }

  ledger::Balance balance_of(const std::string& tier) const {
    return ledger::balance_of(row_, tier, context_.quota, context_.now);
  }

  ledger::Plan plan(const ledger::Balance& balance, std::optional<bool> has_hardware,
                    std::int64_t credits) const {
    return ledger::plan(balance, has_hardware.value_or(context_.has_hardware), credits);
  }

  void create_if_new() {
    if (!exists()) write(ledger::create_entry(row_, context_.now));
  }

  void expire_due() {
    std::vector<ledger::Reservation> due;
    std::copy_if(row_.reservations.begin(), row_.reservations.end(), std::back_inserter(due),
                 [this](const auto& each) { return ledger::is_due(each, context_.now); });
    for (const ledger::Reservation& reservation : due) {
      write(ledger::expire_entry(row_, reservation, context_.now));
    }
  }

  void write(Entry entry) {
    entry.mutation_id = context_.mutation_id;
    ledger::apply(row_, entry);
    entries_.push_back(std::move(entry));
  }

  ledger::Row& row_;
  const Operation& operation_;
  const Remembered& remembered_;
  const JudgeContext& context_;
  std::vector<Entry> entries_;
};

}  // namespace

InstallView view_of(const ledger::Row& row, const ledger::Quota& quota, ledger::Time now) {
  InstallView view;
  view.row = {row.install_id,
              row.tier_snapshot,
              row.lifetime_consumed,
              row.lifetime_gemini_consumed,
              row.month,
              row.monthly_consumed,
              row.monthly_gemini_consumed,
              row.last_active_at,
              row.version,
              {}};
  view.balance = ledger::balance_of(row, row.tier_snapshot, quota, now);
  ledger::roll_over(view.row, ledger::month_of(now));
  return view;
}

std::vector<ReplayKey> replay_keys_needed(const ledger::Row& row, const Operation& operation) {
  std::vector<ReplayKey> replay_keys;
  const auto need_end_of = [&](const std::string& reservation_id) {
    if (!ledger::find_reservation(row, reservation_id)) {
      replay_keys.push_back(ended(reservation_id));
    }
  };
  if (const auto& key = operation.idempotency_key) {
    replay_keys.push_back({ReplayKey::Kind::idempotency_key, *key});
    if (std::holds_alternative<Commit>(operation.action)) need_end_of(*key);
  }
  if (const auto* settle = std::get_if<Settle>(&operation.action)) {
    need_end_of(settle->reservation_id);
  }
  if (const auto* release = std::get_if<Release>(&operation.action)) {
    need_end_of(release->reservation_id);
  }
  return replay_keys;
}

Verdict judge(ledger::Row& row, const Operation& operation, const Remembered& remembered,
              const JudgeContext& context) {
  return Judge{row, operation, remembered, context}.judge();
}

}  // namespace credits::actors
