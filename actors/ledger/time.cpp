#include "actors/ledger/time.hpp"

#include <array>
#include <charconv>
#include <cstdio>

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

template <class... Parts>
std::string print(const char* pattern, Parts... parts) {
  std::array<char, 64> buffer{};
  const int length = std::snprintf(buffer.data(), buffer.size(), pattern, parts...);
  return {buffer.data(), static_cast<std::size_t>(length)};
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
  return print("%04d-%02u-%02uT%02d:%02d:%02d.%03dZ", static_cast<int>(date.year()),
               static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
               static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()),
               static_cast<int>(clock.seconds().count()),
               static_cast<int>(clock.subseconds().count()));
}

std::string format(Month month) {
  return print("%04d-%02u", static_cast<int>(month.year()), static_cast<unsigned>(month.month()));
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
