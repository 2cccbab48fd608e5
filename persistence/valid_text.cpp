#include "persistence/valid_text.hpp"

#include "actors/base/text.hpp"

namespace credits::persistence {

std::optional<std::string> find_invalid_text(const ledger::Entry& entry) {
  if (!base::is_text(entry.tier)) return "tier";
  if (entry.idempotency_key && !base::is_text(*entry.idempotency_key)) return "idempotency key";
  if (entry.reservation_id && !base::is_text(*entry.reservation_id)) return "reservation";
  if (!entry.receipt) return std::nullopt;
  if (!base::is_text(entry.receipt->request)) return "request";
  if (!base::is_text(entry.receipt->body)) return "answer";
  return std::nullopt;
}

std::optional<std::string> find_invalid_text(const Mutation& mutation) {
  const auto in_words = [&mutation](const std::string& what) {
    return "install \"" + mutation.after.install_id + "\": its " + what +
           " is not UTF-8, or contains a NUL, and cannot be stored";
  };
  if (!base::is_text(mutation.after.install_id)) return in_words("id");
  if (!base::is_text(mutation.after.tier_snapshot)) return in_words("tier");
  for (const ledger::Entry& entry : mutation.entries) {
    if (const auto what = find_invalid_text(entry)) return in_words(*what);
  }
  return std::nullopt;
}

void expect_valid_text(std::span<const Mutation> mutations) {
  for (const Mutation& mutation : mutations) {
    if (const auto fault = find_invalid_text(mutation))
      throw StoreError{StoreErrorKind::refused, *fault};
  }
}

}  // namespace credits::persistence
