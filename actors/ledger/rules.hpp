// The rules of the ledger, as pure functions: month rollover, balance, plan, debit, reservations.
//
// A mutation is made in two steps. A function below describes it as an Entry; apply() alone changes
// a row by it. So the service, recovery at start and the audit checker cannot disagree.
//
// The decisions are those of the JSON ledger this service replaces (tests/data has what it
// answered), but for two: a month never rolls backwards, and a debit goes to the counter that its
// tier's quota caps, so that a configured cap always binds.
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

// The row of an install that is seen for the first time: of the fallback tier, version 0.
Row blank_row(std::string install_id, Time now);

// Starts the month of `month` where it is later than the row's: the monthly counters read 0. An
// earlier month changes nothing, as a clock set back must not hand out credits again.
void roll_over(Row& row, Month month);

// What is left to `row` in `tier` at `now`; never below 0.
Balance balance_of(const Row& row, std::string_view tier, const Quota& quota, Time now);

// Which backend a request for `credits` goes to, if any.
Plan plan(const Balance& balance, bool has_hardware, std::int64_t credits);

// Whether `debit`, or a hold of it, leaves each counter of `row` that it would be in at `now`
// within counter_max, together with what is held there. `freed` (or nullptr) is not held any more
// then.
bool has_counter_room(const Row& row, const Debit& debit, const Quota& quota, Time now,
                      const Reservation* freed = nullptr);

// The entry that brings `row` into being. Precondition: row.version is 0.
Entry create_entry(const Row& row, Time now);

// The entry that debits `debit` from `row`, which may be new. It debits whatever the balance is, as
// the backend has been paid already.
Entry commit_entry(const Row& row, const Debit& debit, const Quota& quota, Time now);

// The entry that brings `row`, as the JSON ledger had it, into being. What lies ahead of `now` is
// taken as of now, with its counters, so that nothing sticks and nothing is given.
Entry import_entry(const Row& row, Time now);

// The entry that sets `hold` aside in `row`, which may be new. Its counter and month are those that
// a commit would debit now. Whether there is room is plan()'s to say.
Entry reserve_entry(const Row& row, const Debit& hold, std::string reservation_id, Time expires_at,
                    const Quota& quota, Time now);

// The entry that debits `credits` on `backend` from what `reservation` holds, and frees the rest.
Entry settle_entry(const Row& row, const Reservation& reservation, Backend backend,
                   std::int64_t credits, Time now);

// The entries that free what `reservation` holds: at its owner's wish, or because it is due.
Entry release_entry(const Row& row, const Reservation& reservation, Time now);
Entry expire_entry(const Row& row, const Reservation& reservation, Time now);

// Whether its time is over. Until an entry ends it, it stays in the row; it holds nothing any more.
bool is_due(const Reservation& reservation, Time now);

// The reservation that no entry has ended yet; nullptr if there is none.
const Reservation* find_reservation(const Row& row, std::string_view id);

// How many reservations hold something at `now`.
std::size_t live_reservations(const Row& row, Time now);

// Whether what `reservation` holds on hardware may be debited as `credits` of Gemini instead, by
// the cap that its tier has now. A cap on another counter or month than its own lets nothing
// through, as nobody can say what that month still had.
bool has_gemini_room(const Row& row, const Reservation& reservation, std::int64_t credits,
                     const Quota& quota, Time now);

// Brings counters that a release before this bound let pass counter_max back to it.
void bound_counters(Row& row);

// Changes `row` by `entry`; the only function that does. Precondition: entry.version is one more
// than row.version, the kind is one that this version of the service writes, and it has what its
// kind needs, be it in itself or in the row. Throws std::invalid_argument, and leaves the row as it
// is, if not.
void apply(Row& row, const Entry& entry);

}  // namespace credits::ledger
