// The state of one install: the row of the old JSON ledger, field by field, plus its version and
// its reservations. Credits are whole numbers.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "actors/ledger/time.hpp"

namespace credits::ledger {

enum class Backend : std::uint8_t { gemini, hardware };

// Which of a row's two budgets a debit goes to. The tier's quota decides this once, at the debit.
enum class Counter : std::uint8_t { lifetime, monthly };

// Credits set aside for a request in progress.
struct Reservation {
  std::string id;
  std::string tier;
  Backend backend = Backend::gemini;
  Counter counter = Counter::lifetime;
  std::int64_t credits = 0;
  Month month{};  // the month the hold was taken in
  Time expires_at{};
  bool is_overtaken = false;  // a debit that began later has set the row's tier

  friend bool operator==(const Reservation&, const Reservation&) = default;
};

// Upper bound of each counter together with its holds: larger JSON numbers lose precision.
inline constexpr std::int64_t counter_max = std::int64_t{1} << 53;

struct Row {
  std::string install_id;
  std::string tier_snapshot = "core";  // of the debit that began last; settles begin at the reserve
  std::int64_t lifetime_consumed = 0;
  std::int64_t lifetime_gemini_consumed = 0;
  Month month{};  // the month that the monthly counters count
  std::int64_t monthly_consumed = 0;
  std::int64_t monthly_gemini_consumed = 0;
  Time last_active_at{};
  std::uint64_t version = 0;  // number of mutations so far; 0: the install does not exist
  std::vector<Reservation> reservations;  // not ended by any entry yet, in order of reserve

  friend bool operator==(const Row&, const Row&) = default;
};

}  // namespace credits::ledger
