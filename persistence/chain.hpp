// What makes the audit trail tamper-evident: each entry carries a SHA-256 over its content and the
// hash of the entry before it of the same install, and the row carries the newest. So whoever
// changes, adds or removes an entry has to change every later one and the row too.
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

  // The hash of `entry`, whose predecessor has the hash `before`; none: there is no predecessor, or
  // one that was written before entries had hashes. It covers the install's id and every field of
  // the entry.
  Hash operator()(const std::optional<Hash>& before, const std::string& install_id,
                  const ledger::Entry& entry);

  // Whether `stored` is that hash; none fits all: the entry was written before entries had hashes.
  bool fits(const std::optional<Hash>& stored, const std::optional<Hash>& before,
            const std::string& install_id, const ledger::Entry& entry);

 private:
  std::shared_ptr<evp_md_st> sha256_;
  std::shared_ptr<evp_md_ctx_st> context_;
  Encoder content_;
};

}  // namespace credits::persistence
