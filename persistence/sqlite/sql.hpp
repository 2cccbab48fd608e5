// All SQL of the SQLite engine.
//
// Months are YYYYMM; times are milliseconds since 1970; kinds, backends and counters are the
// numbers of stored_kind.hpp. A file's schema version is its user_version; a new file gets the
// schema of version 1 and then every upgrade, as an old one does.
#pragma once

#include <string>
#include <vector>

namespace credits::persistence::sql {

// The statements that create a file of version 1, and those that upgrade each version to the next.
struct Schema {
  const char* first;
  std::vector<const char*> upgrades;

  int version() const { return 1 + static_cast<int>(upgrades.size()); }
};

inline constexpr const char* journal_schema_1 = R"(
  CREATE TABLE ledger (ledger_id TEXT NOT NULL);
  CREATE TABLE entries (
    sequence INTEGER PRIMARY KEY,
    previous_sequence INTEGER NOT NULL,
    install_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    tier TEXT NOT NULL,
    backend INTEGER,
    credits INTEGER NOT NULL,
    counter INTEGER NOT NULL,
    month INTEGER NOT NULL,
    idempotency_key TEXT,
    reservation_id TEXT,
    mutation_id BLOB NOT NULL
  );
  CREATE TABLE imports (
    sequence INTEGER PRIMARY KEY REFERENCES entries,
    lifetime_consumed INTEGER NOT NULL,
    lifetime_gemini_consumed INTEGER NOT NULL,
    monthly_consumed INTEGER NOT NULL,
    monthly_gemini_consumed INTEGER NOT NULL,
    last_active_at_ms INTEGER NOT NULL
  );
)";

// Version 2 added reservations, receipts, the chain of hashes, and pruning.
inline constexpr const char* journal_upgrade_2 = R"(
  ALTER TABLE entries ADD COLUMN expires_at_ms INTEGER;
  ALTER TABLE entries ADD COLUMN request TEXT;   -- with status and answer: the entry's receipt
  ALTER TABLE entries ADD COLUMN status INTEGER;
  ALTER TABLE entries ADD COLUMN answer TEXT;
  ALTER TABLE entries ADD COLUMN hash BLOB;      -- see chain.hpp
  ALTER TABLE ledger ADD COLUMN pruned_sequence INTEGER NOT NULL DEFAULT 0;
  CREATE TABLE baselines (      -- the rows that the pruned entries led to; columns as in rows
    install_id TEXT PRIMARY KEY,
    tier_snapshot TEXT NOT NULL,
    lifetime_consumed INTEGER NOT NULL,
    lifetime_gemini_consumed INTEGER NOT NULL,
    month INTEGER NOT NULL,
    monthly_consumed INTEGER NOT NULL,
    monthly_gemini_consumed INTEGER NOT NULL,
    last_active_at_ms INTEGER NOT NULL,
    version INTEGER NOT NULL,
    last_sequence INTEGER NOT NULL,
    holds BLOB,
    checksum INTEGER NOT NULL,
    hash BLOB
  ) WITHOUT ROWID;
)";

inline constexpr const char* snapshots_schema_1 = R"(
  CREATE TABLE ledger (ledger_id TEXT NOT NULL);
  CREATE TABLE progress (
    sequence INTEGER NOT NULL,  -- of the newest journal entry that the rows contain
    installs INTEGER NOT NULL
  );
  INSERT INTO progress VALUES (0, 0);
  CREATE TABLE rows (
    install_id TEXT PRIMARY KEY,
    tier_snapshot TEXT NOT NULL,
    lifetime_consumed INTEGER NOT NULL,
    lifetime_gemini_consumed INTEGER NOT NULL,
    month INTEGER NOT NULL,
    monthly_consumed INTEGER NOT NULL,
    monthly_gemini_consumed INTEGER NOT NULL,
    last_active_at_ms INTEGER NOT NULL,
    version INTEGER NOT NULL,
    last_sequence INTEGER NOT NULL,
    holds BLOB,                 -- reservations, see row_table.cpp
    checksum INTEGER NOT NULL
  ) WITHOUT ROWID;
)";

// Version 2 added the chain of hashes, and the names by which entries are found.
inline constexpr const char* snapshots_upgrade_2 = R"(
  ALTER TABLE rows ADD COLUMN hash BLOB;         -- of the newest entry, see chain.hpp
  CREATE TABLE names (
    install_id TEXT NOT NULL,
    kind INTEGER NOT NULL,
    name TEXT NOT NULL,
    sequence INTEGER NOT NULL,                   -- of the entry in the journal
    PRIMARY KEY (install_id, kind, name)
  ) WITHOUT ROWID;
  -- The names of entries up to this one have been forgotten.
  ALTER TABLE progress ADD COLUMN forgotten_sequence INTEGER NOT NULL DEFAULT 0;
)";

inline const Schema journal_schema{journal_schema_1, {journal_upgrade_2}};
inline const Schema snapshots_schema{snapshots_schema_1, {snapshots_upgrade_2}};

inline constexpr const char* insert_ledger = "INSERT INTO ledger (ledger_id) VALUES (?)";
inline constexpr const char* select_ledger = "SELECT ledger_id FROM ledger";

inline constexpr const char* insert_entry =
    "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
inline constexpr const char* insert_import = "INSERT INTO imports VALUES (?, ?, ?, ?, ?, ?)";
inline constexpr const char* select_last_sequence =
    "SELECT max(pruned_sequence, ifnull((SELECT max(sequence) FROM entries), 0)) FROM ledger";
inline constexpr const char* select_newest_time =
    "SELECT at_ms FROM entries ORDER BY sequence DESC LIMIT 1";
inline constexpr const char* select_entry =
    "SELECT * FROM entries LEFT JOIN imports USING (sequence) WHERE sequence = ?";
inline constexpr const char* select_entries_after =
    "SELECT * FROM entries LEFT JOIN imports USING (sequence) WHERE sequence > ? ORDER BY sequence";

inline constexpr const char* select_pruned_sequence = "SELECT pruned_sequence FROM ledger";
inline constexpr const char* update_pruned_sequence = "UPDATE ledger SET pruned_sequence = ?";
inline constexpr const char* delete_entries = "DELETE FROM entries WHERE sequence BETWEEN ? AND ?";
inline constexpr const char* delete_imports = "DELETE FROM imports WHERE sequence BETWEEN ? AND ?";
inline constexpr const char* upsert_baseline =
    "INSERT OR REPLACE INTO baselines VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
inline constexpr const char* select_baseline = "SELECT * FROM baselines WHERE install_id = ?";
// The hash of the entry with that number, or of the baseline that stands for it.
inline constexpr const char* select_hash =
    "SELECT coalesce((SELECT hash FROM entries WHERE sequence = ?1),"
    " (SELECT hash FROM baselines WHERE install_id = ?2))";
inline constexpr const char* select_kept =
    "SELECT hash FROM entries WHERE sequence = ? AND install_id = ?";
inline constexpr const char* select_baselines = "SELECT * FROM baselines ORDER BY install_id";

inline constexpr const char* upsert_row =
    "INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
inline constexpr const char* update_progress = "UPDATE progress SET sequence = ?, installs = ?";
inline constexpr const char* select_progress =
    "SELECT sequence, installs, forgotten_sequence FROM progress";
inline constexpr const char* select_row = "SELECT * FROM rows WHERE install_id = ?";
inline constexpr const char* select_all_rows = "SELECT * FROM rows ORDER BY install_id";
inline constexpr const char* select_rows_after =
    "SELECT * FROM rows WHERE install_id > ? ORDER BY install_id";
inline constexpr const char* select_page =
    "SELECT * FROM rows WHERE install_id >= ?1 AND install_id < ?2 "
    "AND (?3 IS NULL OR tier_snapshot = ?3) ORDER BY install_id LIMIT ?4";

inline constexpr const char* upsert_name = "INSERT OR REPLACE INTO names VALUES (?, ?, ?, ?)";
inline constexpr const char* count_names = "SELECT count(*) FROM names WHERE sequence > ?";

inline constexpr const char* select_name =
    "SELECT sequence FROM names WHERE install_id = ? AND kind = ? AND name = ?";
inline constexpr const char* select_names =
    "SELECT kind, name FROM names WHERE install_id = ? LIMIT ?";
inline constexpr const char* delete_name =
    "DELETE FROM names WHERE install_id = ? AND kind = ? AND name = ? AND sequence <= ?";
inline constexpr const char* update_forgotten = "UPDATE progress SET forgotten_sequence = ?";

// For the audit: SQLite stores a value of any type in any column, and converts it when it is read,
// so a changed value may read as if it were unchanged.
inline constexpr const char* select_mistyped_entries = R"(
  SELECT install_id, version FROM entries WHERE
    (typeof(previous_sequence), typeof(version), typeof(at_ms), typeof(kind), typeof(credits),
     typeof(counter), typeof(month))
      <> ('integer', 'integer', 'integer', 'integer', 'integer', 'integer', 'integer')
    OR (typeof(install_id), typeof(tier), typeof(mutation_id)) <> ('text', 'text', 'blob')
    OR typeof(backend) NOT IN ('integer', 'null')
    OR typeof(idempotency_key) NOT IN ('text', 'null')
    OR typeof(reservation_id) NOT IN ('text', 'null')
    OR typeof(expires_at_ms) NOT IN ('integer', 'null')
    OR (typeof(request), typeof(status), typeof(answer))
      NOT IN (VALUES ('text', 'integer', 'text'), ('null', 'null', 'null'))
    OR typeof(hash) NOT IN ('blob', 'null')
)";
inline constexpr const char* select_mistyped_imports = R"(
  SELECT install_id, version FROM imports JOIN entries USING (sequence) WHERE
    (typeof(lifetime_consumed), typeof(lifetime_gemini_consumed), typeof(monthly_consumed),
     typeof(monthly_gemini_consumed), typeof(last_active_at_ms))
      <> ('integer', 'integer', 'integer', 'integer', 'integer')
)";
// For the table `rows`, or `baselines`, which has the same columns.
inline std::string select_mistyped(const std::string& table) {
  return "SELECT install_id, version FROM " + table + R"( WHERE
    (typeof(lifetime_consumed), typeof(lifetime_gemini_consumed), typeof(month),
     typeof(monthly_consumed), typeof(monthly_gemini_consumed), typeof(last_active_at_ms),
     typeof(version), typeof(last_sequence), typeof(checksum))
      <> ('integer', 'integer', 'integer', 'integer', 'integer', 'integer', 'integer', 'integer',
          'integer')
    OR (typeof(install_id), typeof(tier_snapshot)) <> ('text', 'text')
    OR typeof(holds) NOT IN ('blob', 'null') OR typeof(hash) NOT IN ('blob', 'null')
)";
}

}  // namespace credits::persistence::sql
