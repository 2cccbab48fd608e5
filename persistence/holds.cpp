#include "persistence/holds.hpp"

#include <algorithm>
#include <cstdint>
#include <stdexcept>

#include "actors/base/assert.hpp"
#include "persistence/encoder.hpp"

namespace credits::persistence {

namespace {

void encode(Encoder& out, const ledger::Reservation& reservation) {
  CREDITS_EXPECTS(reservation.credits >= 0);
  out.text(reservation.id);
  out.text(reservation.tier);
  out.integer(static_cast<std::int64_t>(reservation.backend));
  out.integer(static_cast<std::int64_t>(reservation.counter));
  out.integer(reservation.credits);
  out.month(reservation.month);
  out.time(reservation.expires_at);
}

ledger::Reservation decode_reservation(Decoder& in) {
  ledger::Reservation reservation;
  reservation.id = in.text();
  reservation.tier = in.text();
  reservation.backend = static_cast<ledger::Backend>(in.integer());
  reservation.counter = static_cast<ledger::Counter>(in.integer());
  reservation.credits = in.integer();
  if (reservation.credits < 0 || reservation.credits > ledger::counter_max) {
    throw std::out_of_range{"a reservation of impossible credits"};
  }
  reservation.month = in.month();
  reservation.expires_at = in.time();
  return reservation;
}

// A debit overtakes every reservation made before it, so the overtaken ones come first.
std::uint64_t overtaken_of(const ledger::Row& row) {
  const auto& all = row.reservations;
  const auto is_overtaken = [](const ledger::Reservation& each) { return each.is_overtaken; };
  CREDITS_EXPECTS(std::is_partitioned(all.begin(), all.end(), is_overtaken));
  return static_cast<std::uint64_t>(std::count_if(all.begin(), all.end(), is_overtaken));
}

void set_overtaken(ledger::Row& row, std::uint64_t overtaken) {
  if (overtaken == 0 || overtaken > row.reservations.size()) {
    throw std::out_of_range{"more reservations are overtaken than there are"};
  }
  for (std::uint64_t i = 0; i < overtaken; ++i) row.reservations[i].is_overtaken = true;
}

}  // namespace

std::string encode_holds(const ledger::Row& row) {
  if (row.reservations.empty()) return {};
  Encoder out;
  out.integer(std::uint64_t{row.reservations.size()});
  for (const ledger::Reservation& reservation : row.reservations) encode(out, reservation);
  if (const auto overtaken = overtaken_of(row); overtaken > 0) out.integer(overtaken);
  return out.result();
}

void decode_holds(std::string_view bytes, ledger::Row& row) {
  if (bytes.empty()) return;
  Decoder in{bytes};
  for (auto left = in.unsigned_integer(); left > 0; --left) {
    row.reservations.push_back(decode_reservation(in));
  }
  if (!in.is_at_end()) set_overtaken(row, in.unsigned_integer());
  in.expect_end();
}

}  // namespace credits::persistence
