// Encodes values as bytes, for data without a column of its own and for hashes.
//
// An integer is 8 bytes, least significant first; a string is its length and its bytes; a list is
// its length and its members; an optional value is a 0, or a 1 and the value.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "actors/ledger/time.hpp"

namespace credits::persistence {

// A month as YYYYMM.
inline std::int64_t to_number(ledger::Month month) {
  return static_cast<int>(month.year()) * 100 + static_cast<int>(unsigned{month.month()});
}

inline ledger::Month to_month(std::int64_t number) {
  return std::chrono::year{static_cast<int>(number / 100)} /
         std::chrono::month{static_cast<unsigned>(number % 100)};
}

class Encoder {
 public:
  void integer(std::uint64_t value) {
    std::array<char, 8> bytes{};
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(value >> (8 * i));
    bytes_.append(bytes.data(), bytes.size());
  }
  void integer(std::int64_t value) { integer(static_cast<std::uint64_t>(value)); }
  void time(ledger::Time value) { integer(std::int64_t{value.time_since_epoch().count()}); }
  void month(ledger::Month value) { integer(to_number(value)); }
  void bytes(std::string_view value) { bytes_ += value; }
  void text(std::string_view value) {
    integer(std::uint64_t{value.size()});
    bytes_ += value;
  }

  // Calls `encode_value` with the value, if there is one.
  template <class Value, class EncodeValue>
  void optional(const std::optional<Value>& value, EncodeValue encode_value) {
    integer(std::uint64_t{value.has_value()});
    if (value) encode_value(*value);
  }

  void clear() { bytes_.clear(); }
  const std::string& result() const { return bytes_; }

 private:
  std::string bytes_;
};

// Throws std::out_of_range if an Encoder cannot have made the bytes.
class Decoder {
 public:
  explicit Decoder(std::string_view bytes) : rest_{bytes} {}

  std::uint64_t unsigned_integer() {
    std::uint64_t value = 0;
    const std::string_view bytes = take(8);
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      value |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
    }
    return value;
  }
  std::int64_t integer() { return static_cast<std::int64_t>(unsigned_integer()); }
  ledger::Time time() { return ledger::Time{std::chrono::milliseconds{integer()}}; }
  ledger::Month month() { return to_month(integer()); }
  std::string text() { return std::string{take(unsigned_integer())}; }

  bool is_at_end() const { return rest_.empty(); }

  void expect_end() const {
    if (!is_at_end()) throw std::out_of_range{"bytes after the end"};
  }

 private:
  std::string_view take(std::uint64_t count) {
    if (count > rest_.size()) throw std::out_of_range{"cut short"};
    const std::string_view taken = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return taken;
  }

  std::string_view rest_;
};

}  // namespace credits::persistence
