// Time as the ledger sees it: UTC, in milliseconds, and calendar months.
//
// The rules never read a clock. Whoever calls them passes the time, so that tests and recovery can
// run any moment again.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace credits::ledger {

using Time = std::chrono::sys_time<std::chrono::milliseconds>;
using Month = std::chrono::year_month;

// The calendar month, in UTC, that `time` lies in.
Month month_of(Time time);

// `2026-11-24T03:53:00.000Z`. Years 0000 to 9999.
std::string format(Time time);

// `2026-11`.
std::string format(Month month);

// Reads what format() writes; the milliseconds may be missing. Nothing if it is no such time.
std::optional<Time> parse_time(std::string_view text);

// Reads what format() writes. Nothing if it is no such month.
std::optional<Month> parse_month(std::string_view text);

}  // namespace credits::ledger
