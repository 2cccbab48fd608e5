// Makes the audit trail tamper-evident: each entry carries a SHA-256 over its content and the hash
// of the install's previous entry, and the row carries the newest hash. To change, add or remove an
// entry, an attacker must therefore change every later one and the row too.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "actors/ledger/entry.hpp"
#include "persistence/encoder.hpp"
#include "persistence/stamp.hpp"

struct evp_md_ctx_st;
struct evp_md_st;

namespace credits::persistence {

// One thread at a time.
class Hasher {
 public:
  Hasher();

  // The hash of `entry`, over the install's id, every field of the entry and `before`, the hash of
  // its predecessor. `before` is none if there is no predecessor, or one that was written before
  // entries had hashes.
  Hash operator()(const std::optional<Hash>& before, const std::string& install_id,
                  const ledger::Entry& entry);

  // Whether `stored` is that hash. None always fits: the entry was written before entries had
  // hashes.
  bool fits(const std::optional<Hash>& stored, const std::optional<Hash>& before,
            const std::string& install_id, const ledger::Entry& entry);

 private:
  std::shared_ptr<evp_md_st> sha256_;
  std::shared_ptr<evp_md_ctx_st> context_;
  Encoder content_;
};

}  // namespace credits::persistence
