#include "persistence/chain.hpp"

#include <openssl/evp.h>

#include <string_view>

#include "persistence/store.hpp"
#include "persistence/stored_kind.hpp"

namespace credits::persistence {

namespace {

void encode(Encoder& out, const ledger::ImportedCounters& imported) {
  out.integer(imported.lifetime_consumed);
  out.integer(imported.lifetime_gemini_consumed);
  out.integer(imported.monthly_consumed);
  out.integer(imported.monthly_gemini_consumed);
  out.time(imported.last_active_at);
}

void encode(Encoder& out, const ledger::Receipt& receipt) {
  out.text(receipt.request);
  out.integer(std::int64_t{receipt.status});
  out.text(receipt.body);
}

// Ledgers keep hashes of this encoding: a change of it makes every chain look broken.
void encode(Encoder& out, const ledger::Entry& entry) {
  const auto text = [&out](const std::string& value) { out.text(value); };
  const auto part = [&out](const auto& value) { encode(out, value); };
  out.integer(entry.version);
  out.time(entry.at);
  out.integer(stored_kind(entry));
  out.text(entry.tier);
  out.optional(entry.backend, [&out](ledger::Backend backend) {
    out.integer(static_cast<std::int64_t>(backend));
  });
  out.integer(entry.credits);
  out.integer(static_cast<std::int64_t>(entry.counter));
  out.month(entry.month);
  out.optional(entry.idempotency_key, text);
  out.optional(entry.reservation_id, text);
  out.optional(entry.expires_at, [&out](ledger::Time time) { out.time(time); });
  out.optional(entry.imported, part);
  out.optional(entry.receipt, part);
  out.integer(entry.mutation_id.high);
  out.integer(entry.mutation_id.low);
}

void check(bool worked) {
  if (!worked)
    throw StoreError{StoreErrorKind::refused, "OpenSSL's libcrypto does not provide SHA-256"};
}

}  // namespace

Hasher::Hasher()
    : sha256_{EVP_MD_fetch(nullptr, "SHA256", nullptr), &EVP_MD_free},
      context_{EVP_MD_CTX_new(), &EVP_MD_CTX_free} {
  check(sha256_ && context_);
}

Hash Hasher::operator()(const std::optional<Hash>& before, const std::string& install_id,
                        const ledger::Entry& entry) {
  content_.clear();
  const Hash start = before.value_or(Hash{});
  content_.bytes({reinterpret_cast<const char*>(start.data()), start.size()});
  content_.text(install_id);
  encode(content_, entry);
  Hash hash;
  const std::string& bytes = content_.result();
  check(EVP_DigestInit_ex2(context_.get(), sha256_.get(), nullptr) == 1 &&
        EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1 &&
        EVP_DigestFinal_ex(context_.get(), hash.data(), nullptr) == 1);
  return hash;
}

bool Hasher::fits(const std::optional<Hash>& stored, const std::optional<Hash>& before,
                  const std::string& install_id, const ledger::Entry& entry) {
  return !stored || *stored == (*this)(before, install_id, entry);
}

}  // namespace credits::persistence
