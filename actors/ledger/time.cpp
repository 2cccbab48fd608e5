#include "actors/ledger/time.hpp"

#include <charconv>
#include <cstdint>

namespace credits::ledger {

namespace {

// Reads exactly `digits` decimal digits at the front of `text` and drops them.
std::optional<unsigned> take_number(std::string_view& text, std::size_t digits) {
  if (text.size() < digits) return std::nullopt;
  unsigned value = 0;
  const char* const end = text.data() + digits;
  if (text.front() == '-' || std::from_chars(text.data(), end, value).ptr != end) {
    return std::nullopt;
  }
  text.remove_prefix(digits);
  return value;
}

bool take(std::string_view& text, char expected) {
  if (text.empty() || text.front() != expected) return false;
  text.remove_prefix(1);
  return true;
}

std::optional<Month> take_month(std::string_view& text) {
  const auto year = take_number(text, 4);
  if (!year || !take(text, '-')) return std::nullopt;
  const auto month = take_number(text, 2);
  if (!month) return std::nullopt;
  const Month result{std::chrono::year{static_cast<int>(*year)}, std::chrono::month{*month}};
  return result.ok() ? std::optional{result} : std::nullopt;
}

std::optional<std::chrono::milliseconds> take_time_of_day(std::string_view& text) {
  const auto hour = take_number(text, 2);
  if (!hour || *hour > 23 || !take(text, ':')) return std::nullopt;
  const auto minute = take_number(text, 2);
  if (!minute || *minute > 59 || !take(text, ':')) return std::nullopt;
  const auto second = take_number(text, 2);
  if (!second || *second > 59) return std::nullopt;
  unsigned milliseconds = 0;
  if (take(text, '.')) {
    const auto fraction = take_number(text, 3);
    if (!fraction) return std::nullopt;
    milliseconds = *fraction;
  }
  return std::chrono::hours{*hour} + std::chrono::minutes{*minute} + std::chrono::seconds{*second} +
         std::chrono::milliseconds{milliseconds};
}

// Appends exactly `digits` decimal digits. (Every answer has a time and a month: printf() took 3 %
// of a batch's time.)
void put(std::string& text, std::int64_t value, std::size_t digits) {
  text.append(digits, '0');
  for (auto digit = text.rbegin(); value > 0 && digits > 0; ++digit, value /= 10, --digits) {
    *digit = static_cast<char>('0' + value % 10);
  }
}

void put(std::string& text, char before, std::int64_t value, std::size_t digits) {
  text += before;
  put(text, value, digits);
}

}  // namespace

Month month_of(Time time) {
  const std::chrono::year_month_day date{std::chrono::floor<std::chrono::days>(time)};
  return date.year() / date.month();
}

std::string format(Time time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date{day};
  const std::chrono::hh_mm_ss clock{time - day};
  std::string text = format(Month{date.year(), date.month()});
  text.reserve(std::string_view{"2026-11-24T03:53:00.000Z"}.size());
  put(text, '-', static_cast<unsigned>(date.day()), 2);
  put(text, 'T', clock.hours().count(), 2);
  put(text, ':', clock.minutes().count(), 2);
  put(text, ':', clock.seconds().count(), 2);
  put(text, '.', clock.subseconds().count(), 3);
  return text += 'Z';
}

std::string format(Month month) {
  std::string text;
  put(text, static_cast<int>(month.year()), 4);
  put(text, '-', static_cast<unsigned>(month.month()), 2);
  return text;
}

std::optional<Time> parse_time(std::string_view text) {
  const auto month = take_month(text);
  if (!month || !take(text, '-')) return std::nullopt;
  const auto day = take_number(text, 2);
  if (!day || !take(text, 'T')) return std::nullopt;
  const std::chrono::year_month_day date{*month / std::chrono::day{*day}};
  if (!date.ok()) return std::nullopt;
  const auto time_of_day = take_time_of_day(text);
  if (!time_of_day || text != "Z") return std::nullopt;
  return std::chrono::sys_days{date} + *time_of_day;
}

std::optional<Month> parse_month(std::string_view text) {
  const auto month = take_month(text);
  return text.empty() ? month : std::nullopt;
}

}  // namespace credits::ledger
