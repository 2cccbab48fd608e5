// The rules of the ledger, as pure functions: month rollover, balance, plan, debit, reservations.
//
// A mutation takes two steps: a function below describes it as an Entry, and apply() changes the
// row by it. No other function changes a row, so the service, the recovery at start and the audit
// cannot disagree.
//
// The decisions are those of the JSON ledger that this service replaces (tests/data has its
// recorded answers), with two exceptions: a month never rolls back, and a debit goes to the counter
// that its tier's quota caps, so that a configured cap always binds.
#pragma once

#include <cstddef>
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

// The row of a new install: of the fallback tier, with version 0.
Row blank_row(std::string install_id, Time now);

// Moves `row` to `month` if that is later than the row's, and sets the monthly counters to 0. An
// earlier month changes nothing: a clock set back must not grant credits again.
void roll_over(Row& row, Month month);

// The credits left to `row` in `tier` at `now`; never below 0.
Balance balance_of(const Row& row, std::string_view tier, const Quota& quota, Time now);

// Which backend a request for `credits` goes to, or why it is denied.
Plan plan(const Balance& balance, bool has_hardware, std::int64_t credits);

// Whether each counter of `row` that `debit`, or a hold of it, affects at `now` stays within
// counter_max, including the credits held there. `freed`, unless nullptr, counts as no longer held;
// it must be one of the row's.
bool has_counter_room(const Row& row, const Debit& debit, const Quota& quota, Time now,
                      const Reservation* freed = nullptr);

// The entry that creates `row`. Precondition: row.version is 0.
Entry create_entry(const Row& row, Time now);

// The entry that debits `debit` from `row`, which may be new. It ignores the balance, because the
// backend has been paid already.
Entry commit_entry(const Row& row, const Debit& debit, const Quota& quota, Time now);

// The entry that creates `row` as the JSON ledger had it. A month or time ahead of `now` becomes
// the current one and keeps its counters, so that the row is not stuck in the future and gains
// nothing.
Entry import_entry(const Row& row, Time now);

// The entry that sets `hold` aside in `row`, which may be new. Its counter and month are those of a
// commit made now. It does not check the balance; plan() does.
Entry reserve_entry(const Row& row, const Debit& hold, std::string reservation_id, Time expires_at,
                    const Quota& quota, Time now);

// The entry that debits `credits` of `reservation` on `backend`, and frees the rest. Precondition:
// `credits` is at most the reservation's.
Entry settle_entry(const Row& row, const Reservation& reservation, Backend backend,
                   std::int64_t credits, Time now);

// The entries that free all of `reservation`: because its owner asked, or because it is due.
Entry release_entry(const Row& row, const Reservation& reservation, Time now);
Entry expire_entry(const Row& row, const Reservation& reservation, Time now);

// Whether its time is over. It then holds nothing, but stays in the row until an entry ends it.
bool is_due(const Reservation& reservation, Time now);

// The reservation with that id in the row; nullptr if there is none.
const Reservation* find_reservation(const Row& row, std::string_view id);

// The number of reservations that are not due at `now`.
std::size_t live_reservations(const Row& row, Time now);

// Whether a hold on hardware may be settled as `credits` of Gemini instead, by the cap that its
// tier has now. If that cap is on another counter or month than the hold's, the answer is no: what
// that month had left is not known any more.
bool has_gemini_room(const Row& row, const Reservation& reservation, std::int64_t credits,
                     const Quota& quota, Time now);

// Lowers counters above counter_max to it. Releases without this bound let them pass it.
void bound_counters(Row& row);

// Changes `row` by `entry`. Throws std::invalid_argument and leaves the row as it is unless
// entry.version is row.version + 1, its kind is known, and the entry and the row have everything
// that the kind needs.
void apply(Row& row, const Entry& entry);

}  // namespace credits::ledger
