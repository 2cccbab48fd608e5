// A row as the columns of an SQLite table, with a checksum: in snapshots.db, where it follows the
// journal, and among the journal's baselines, where it stands for the entries that were pruned.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <cstdint>
#include <filesystem>
#include <optional>

#include "actors/ledger/row.hpp"
#include "persistence/chain.hpp"

namespace credits::persistence {

struct StoredRow {
  ledger::Row row;
  std::uint64_t last_sequence = 0;  // of its newest entry
  std::optional<Hash> hash{};       // of its newest entry; none: from before entries had hashes
};

// Binds the columns of `stored` in their order. It must live until the statement has run.
void bind_row(SQLite::Statement& upsert, const StoredRow& stored);

// Throws a StoreError that is `damaged` and names `path` and the install if the row does not match
// its checksum.
StoredRow read_row(SQLite::Statement& from, const std::filesystem::path& path);

// A hash as a column's value.
void bind_hash(SQLite::Statement& statement, int index, const std::optional<Hash>& hash);
std::optional<Hash> read_hash(const SQLite::Column& column);

}  // namespace credits::persistence
