// The operations of a relay on one install, and their answers.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "actors/ledger/rules.hpp"

namespace credits::actors {

// Shows the install; creates nothing.
struct Get {};

// Shows the install, and creates it if it is new.
struct Create {};

// Determines which backend a request may use. Debits nothing, but creates a new install.
struct Plan {
  std::optional<std::string> tier;   // none: the row's own
  std::optional<bool> has_hardware;  // none: the server's setting
  std::int64_t credits = 1;
};

// Debits credits for which a backend has been paid.
using Commit = ledger::Debit;

// Sets credits aside for a request in progress.
struct Reserve {
  std::optional<std::string> tier;   // none: the row's own
  std::optional<bool> has_hardware;  // none: the server's setting
  std::int64_t credits = 1;
  std::chrono::seconds ttl{600};
};

// Debits all or part of a reservation's credits, and frees the rest.
struct Settle {
  std::string reservation_id;
  std::optional<ledger::Backend> backend;  // none: the one that was reserved
  std::optional<std::int64_t> credits;     // none: all that is held
};

// Frees a reservation's credits.
struct Release {
  std::string reservation_id;
};

struct Operation {
  std::string install_id;
  std::variant<Get, Create, Plan, Commit, Reserve, Settle, Release> action;
  std::optional<std::string> idempotency_key{};  // of a commit or a reserve
  // The request in canonical form, equal for equal requests; of a settle, and of a request with a
  // key.
  std::string request{};
};

// An install as of now: rolled over to the current month, with the balance of its own tier.
struct InstallView {
  ledger::Row row;  // without its reservations, as many views may be queued
  ledger::Balance balance;
  bool created = false;  // by this operation, a create
};

struct PlanView {
  ledger::Plan plan;
  ledger::Balance balance;  // of the requested tier
};

struct ReservationView {
  ledger::Reservation reservation;
  ledger::Balance balance;  // of the reservation's tier
};

// An answer that is kept verbatim.
struct Recorded {
  std::int32_t status = 0;
  std::string body;
  bool replayed = false;  // the answer to an earlier request with the same idempotency key
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

// The operation was refused, and why: nothing was debited or set aside.
struct Refused {
  Refusal reason = Refusal::unknown_install;
  std::string value;  // at fault
  // The tier that the quota no longer has, so that `value` was used in its place.
  std::optional<std::string> gone_tier{};
};

// The store failed; the outcome of the operation is unknown.
struct Unavailable {
  std::string reason;
};

// The install's stored data is damaged; nothing was done.
struct Damaged {
  std::string reason;
};

using Answer =
    std::variant<InstallView, PlanView, ReservationView, Recorded, Refused, Unavailable, Damaged>;

inline constexpr std::size_t live_reservations_max = 1'000;

}  // namespace credits::actors
