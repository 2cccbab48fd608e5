// The rules of the ledger, as pure functions: month rollover, balance, plan, debit.
//
// A mutation is made in two steps. A function below describes it as an Entry; apply() alone changes
// a row by it. So the service, recovery at start and the audit checker cannot disagree.
//
// The decisions are those of the JSON ledger this service replaces (tests/data has what it
// answered), but for two: a month never rolls backwards, and a debit goes to the counter that its
// tier's quota caps, so that a configured cap always binds.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "actors/ledger/entry.hpp"
#include "actors/ledger/quota.hpp"
#include "actors/ledger/row.hpp"

namespace credits::ledger {

struct Balance {
  std::optional<std::int64_t> remaining;  // none: unlimited
  Counter capped = Counter::lifetime;
  std::optional<std::int64_t> gemini_remaining;  // none: no Gemini cap
  std::int64_t held = 0;                         // by all live reservations, whatever their counter

  friend bool operator==(const Balance&, const Balance&) = default;
};

enum class Denial : std::uint8_t { out_of_credits, gemini_cap_exceeded_no_hardware };

// Either a backend or a denial.
struct Plan {
  std::optional<Backend> backend;
  std::optional<Denial> denial;

  friend bool operator==(const Plan&, const Plan&) = default;
};

struct Debit {
  Backend backend = Backend::gemini;
  std::string tier;
  std::int64_t credits = 1;
};

// The row of an install that is seen for the first time: of the fallback tier, version 0.
Row blank_row(std::string install_id, Time now);

// Starts the month of `month` where it is later than the row's: the monthly counters read 0. An
// earlier month changes nothing, as a clock set back must not hand out credits again.
void roll_over(Row& row, Month month);

// What is left to `row` in `tier` at `now`; never below 0.
Balance balance_of(const Row& row, std::string_view tier, const Quota& quota, Time now);

// Which backend a request for `credits` goes to, if any.
Plan plan(const Balance& balance, bool has_hardware, std::int64_t credits);

// The entry that brings `row` into being. Precondition: row.version is 0.
Entry create_entry(const Row& row, Time now);

// The entry that debits `debit` from `row`, which may be new. It debits whatever the balance is, as
// the backend has been paid already.
Entry commit_entry(const Row& row, const Debit& debit, const Quota& quota, Time now);

// The entry that brings `row`, as the JSON ledger had it, into being.
Entry import_entry(const Row& row, Time now);

// Changes `row` by `entry`; the only function that does. Precondition: entry.version is one more
// than row.version, and the kind is one that this version of the service writes.
// Throws std::invalid_argument, and leaves the row as it is, if not.
void apply(Row& row, const Entry& entry);

}  // namespace credits::ledger
