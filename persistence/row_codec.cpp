#include "persistence/row_codec.hpp"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <chrono>
#include <stdexcept>

namespace credits::persistence {

namespace {

class Encoder {
 public:
  void integer(std::uint64_t value) {
    for (int shift = 0; shift < 64; shift += 8) bytes_ += static_cast<char>(value >> shift);
  }
  void integer(std::int64_t value) { integer(static_cast<std::uint64_t>(value)); }
  void time(ledger::Time value) { integer(std::int64_t{value.time_since_epoch().count()}); }
  void month(ledger::Month value) { integer(to_number(value)); }
  void text(std::string_view value) {
    integer(std::uint64_t{value.size()});
    bytes_ += value;
  }

  std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

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

  void expect_end() const {
    if (!rest_.empty()) throw std::out_of_range{"bytes after the end of a row"};
  }

 private:
  std::string_view take(std::uint64_t count) {
    if (count > rest_.size()) throw std::out_of_range{"a row is cut short"};
    const std::string_view taken = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return taken;
  }

  std::string_view rest_;
};

void encode(Encoder& out, const ledger::Reservation& reservation) {
  out.text(reservation.id);
  out.text(reservation.tier);
  out.integer(static_cast<std::int64_t>(reservation.backend));
  out.integer(static_cast<std::int64_t>(reservation.counter));
  out.integer(reservation.credits);
  out.month(reservation.month);
  out.time(reservation.expires_at);
}

void encode(Encoder& out, const ledger::RememberedKey& key) {
  out.text(key.key);
  out.text(key.request_digest);
  out.integer(std::int64_t{key.status});
  out.text(key.body);
  out.time(key.recorded_at);
}

ledger::Reservation decode_reservation(Decoder& in) {
  ledger::Reservation reservation;
  reservation.id = in.text();
  reservation.tier = in.text();
  reservation.backend = static_cast<ledger::Backend>(in.integer());
  reservation.counter = static_cast<ledger::Counter>(in.integer());
  reservation.credits = in.integer();
  reservation.month = in.month();
  reservation.expires_at = in.time();
  return reservation;
}

ledger::RememberedKey decode_key(Decoder& in) {
  ledger::RememberedKey key;
  key.key = in.text();
  key.request_digest = in.text();
  key.status = static_cast<std::int32_t>(in.integer());
  key.body = in.text();
  key.recorded_at = in.time();
  return key;
}

template <class Values>
void encode_list(Encoder& out, const Values& values) {
  out.integer(std::uint64_t{values.size()});
  for (const auto& value : values) encode(out, value);
}

}  // namespace

std::string encode_holds(const ledger::Row& row) {
  if (row.reservations.empty() && row.remembered_keys.empty()) return {};
  Encoder out;
  encode_list(out, row.reservations);
  encode_list(out, row.remembered_keys);
  return out.take();
}

void decode_holds(std::string_view bytes, ledger::Row& row) {
  if (bytes.empty()) return;
  Decoder in{bytes};
  for (auto left = in.unsigned_integer(); left > 0; --left) {
    row.reservations.push_back(decode_reservation(in));
  }
  for (auto left = in.unsigned_integer(); left > 0; --left) {
    row.remembered_keys.push_back(decode_key(in));
  }
  in.expect_end();
}

std::uint64_t checksum_of(const ledger::Row& row, std::uint64_t last_sequence) {
  Encoder out;
  out.text(row.install_id);
  out.text(row.tier_snapshot);
  out.integer(row.lifetime_consumed);
  out.integer(row.lifetime_gemini_consumed);
  out.month(row.month);
  out.integer(row.monthly_consumed);
  out.integer(row.monthly_gemini_consumed);
  out.time(row.last_active_at);
  out.integer(row.version);
  out.integer(last_sequence);
  out.text(encode_holds(row));
  const std::string bytes = out.take();
  return XXH3_64bits(bytes.data(), bytes.size());
}

std::int64_t to_number(ledger::Month month) {
  return static_cast<int>(month.year()) * 100 + static_cast<int>(unsigned{month.month()});
}

ledger::Month to_month(std::int64_t number) {
  return std::chrono::year{static_cast<int>(number / 100)} /
         std::chrono::month{static_cast<unsigned>(number % 100)};
}

}  // namespace credits::persistence
