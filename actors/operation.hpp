// What a relay asks of one install, and what it is answered. No CAF in here: judge() is a pure
// function, so that every decision can be tested without an actor.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include "actors/ledger/rules.hpp"

namespace credits::actors {

// Shows the install; creates nothing.
struct Get {};

// Shows the install, which is created if it is new.
struct Create {};

// Says which backend a request may use. Debits nothing, but creates an install that is new.
struct Plan {
  std::optional<std::string> tier;   // none: the row's own
  std::optional<bool> has_hardware;  // none: the server's setting
  std::int64_t credits = 1;
};

// Debits what a backend has been paid for.
using Commit = ledger::Debit;

// Sets credits aside for a request that is under way.
struct Reserve {
  std::optional<std::string> tier;   // none: the row's own
  std::optional<bool> has_hardware;  // none: the server's setting
  std::int64_t credits = 1;
  std::chrono::seconds ttl{600};
};

// Debits what a reservation holds, or a part of it, and frees the rest.
struct Settle {
  std::string reservation_id;
  std::optional<ledger::Backend> backend;  // none: the one that was reserved
  std::optional<std::int64_t> credits;     // none: all that is held
};

// Frees what a reservation holds.
struct Release {
  std::string reservation_id;
};

struct Operation {
  std::string install_id;
  std::variant<Get, Create, Plan, Commit, Reserve, Settle, Release> action;
  std::optional<std::string> idempotency_key{};  // of a commit or a reserve
  // The request in one spelling, equal for equal requests: where it has a key, and of a settle.
  std::string request{};
};

// An install as it reads now: rolled over to the current month, with the balance of its own tier.
struct InstallView {
  ledger::Row row;  // without its reservations: many views may wait for their turn
  ledger::Balance balance;
  bool created = false;  // by this very operation, which was asked to
};

struct PlanView {
  ledger::Plan plan;
  ledger::Balance balance;  // of the tier that was asked for
};

struct ReservationView {
  ledger::Reservation reservation;
  ledger::Balance balance;  // of the reservation's tier
};

// An answer that is kept word for word.
struct Recorded {
  std::int32_t status = 0;
  std::string body;
  bool replayed = false;  // of an earlier request under the same idempotency key
};

enum class Refusal : std::uint8_t {
  unknown_install,
  unknown_tier,
  out_of_credits,
  gemini_cap_exceeded_no_hardware,
  too_many_reservations,
  unknown_reservation,
  reservation_expired,
  reservation_released,
  reservation_settled,
  credits_exceed_hold,
  gemini_cap_exceeded,
  idempotency_key_reused,
  counter_overflow,
};

// An operation that did nothing, and why.
struct Refused {
  Refusal reason = Refusal::unknown_install;
  std::string value;  // the one at fault
  // Of what `value` judged in its place, as the quota no longer has it.
  std::optional<std::string> gone_tier{};
};

// The store failed; the operation may have been done.
struct Unavailable {
  std::string reason;
};

// What is stored of the install is damaged; nothing was done.
struct Damaged {
  std::string reason;
};

using Answer =
    std::variant<InstallView, PlanView, ReservationView, Recorded, Refused, Unavailable, Damaged>;

inline constexpr std::size_t live_reservations_max = 1'000;

// What an operation is judged by, besides the row.
struct JudgeContext {
  const ledger::Quota& quota;
  ledger::Time now;
  bool has_hardware = false;
  ledger::MutationId mutation_id{};  // for what it writes
  // How an answer reads to the client, for one that is to be kept.
  const std::function<Recorded(const Answer&)>& record;
};

// The entries that names were found to stand for.
using Remembered = std::unordered_map<ledger::ReplayKey, ledger::Entry, ledger::ReplayKeyHash>;

struct Verdict {
  std::vector<ledger::Entry> entries;  // what the operation did to the row, oldest first
  Answer answer;
};

InstallView view_of(const ledger::Row& row, const ledger::Quota& quota, ledger::Time now);

// The names that `operation` on `row` must be told about, if there is something to tell.
std::vector<ledger::ReplayKey> replay_keys_needed(const ledger::Row& row,
                                                  const Operation& operation);

// Runs `operation` on `row` (version 0: the install does not exist yet), which it changes by the
// entries of the verdict. What mutates also ends the reservations that are due.
Verdict judge(ledger::Row& row, const Operation& operation, const Remembered& remembered,
              const JudgeContext& context);

}  // namespace credits::actors
