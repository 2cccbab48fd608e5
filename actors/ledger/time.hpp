// Time as the ledger sees it: UTC, in milliseconds, and calendar months.
//
// The rules never read a clock. Callers pass the time, so that tests and recovery can replay any
// moment.
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

// Parses the output of format(); the milliseconds are optional. Nullopt if it is not such a time.
std::optional<Time> parse_time(std::string_view text);

// Parses the output of format(). Nullopt if it is not such a month.
std::optional<Month> parse_month(std::string_view text);

}  // namespace credits::ledger
