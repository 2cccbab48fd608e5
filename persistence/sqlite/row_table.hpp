// Stores a row as the columns of an SQLite table, with a checksum: in snapshots.db, where rows
// follow the journal, and in the journal's baselines, which stand for pruned entries.
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
  std::optional<Hash> hash{};       // of its newest entry; none: written before entries had hashes
};

// Binds the columns of `stored` in order. `stored` must live until the statement has run.
void bind_row(SQLite::Statement& upsert, const StoredRow& stored);

// Throws a StoreError of kind `damaged` that names `path` and the install if the row does not match
// its checksum.
StoredRow read_row(SQLite::Statement& from, const std::filesystem::path& path);

// A hash as the value of a column.
void bind_hash(SQLite::Statement& statement, int index, const std::optional<Hash>& hash);
std::optional<Hash> read_hash(const SQLite::Column& column);

}  // namespace credits::persistence
