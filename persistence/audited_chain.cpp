#include "persistence/audited_chain.hpp"

#include <cstddef>
#include <stdexcept>

#include "actors/ledger/rules.hpp"

namespace credits::persistence {

namespace {

std::string in_words(const ledger::Row& row) {
  std::string text = row.tier_snapshot + ", lifetime " + std::to_string(row.lifetime_consumed) +
                     " (" + std::to_string(row.lifetime_gemini_consumed) + " of Gemini), " +
                     ledger::format(row.month) + " " + std::to_string(row.monthly_consumed) + " (" +
                     std::to_string(row.monthly_gemini_consumed) + " of Gemini), last active " +
                     ledger::format(row.last_active_at) + ", version " +
                     std::to_string(row.version);
  for (const ledger::Reservation& reservation : row.reservations) {
    text += ", reservation " + reservation.id + " of " + std::to_string(reservation.credits);
  }
  return text;
}

}  // namespace

std::string in_words(const ledger::ReplayKey& key) {
  return (key.kind == ledger::ReplayKey::Kind::idempotency_key ? "idempotency key \""
                                                               : "ended reservation \"") +
         key.text + "\"";
}

std::string AuditedChain::follow(ledger::Row& row, std::optional<Hash>& newest,
                                 const ledger::Entry& entry, const std::optional<Hash>& hash) {
  if (newest && !hash) return "the entry has no hash, but the one before it has";
  if (!hasher_.fits(hash, newest, row.install_id, entry)) {
    return "the entry's hash is not that of its content and the hash before it";
  }
  try {
    ledger::apply(row, entry);
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  newest = hash;
  return {};
}

bool agrees(const ledger::Row& stored, ledger::Row computed) {
  if (stored.reservations.size() != computed.reservations.size()) return false;
  for (std::size_t i = 0; i < stored.reservations.size(); ++i) {
    if (!stored.reservations[i].is_overtaken) computed.reservations[i].is_overtaken = false;
  }
  return stored == computed;
}

std::string difference_between(const ledger::Row& stored, const ledger::Row& computed) {
  return "the row is " + in_words(stored) + "; its entries make " + in_words(computed);
}

}  // namespace credits::persistence
