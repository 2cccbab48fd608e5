// All SQL of the SQLite engine.
//
// Months are YYYYMM, times milliseconds since 1970, kinds, backends and counters the numbers of
// their enums in actors/ledger. A file's schema version is its user_version.
#pragma once

namespace credits::persistence::sql {

inline constexpr const char* journal_schema = R"(
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

inline constexpr const char* snapshots_schema = R"(
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
    holds BLOB,                 -- reservations and remembered keys, see row_codec
    checksum INTEGER NOT NULL
  ) WITHOUT ROWID;
)";

inline constexpr const char* insert_ledger = "INSERT INTO ledger VALUES (?)";
inline constexpr const char* select_ledger = "SELECT ledger_id FROM ledger";

inline constexpr const char* insert_entry =
    "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
inline constexpr const char* insert_import = "INSERT INTO imports VALUES (?, ?, ?, ?, ?, ?)";
inline constexpr const char* select_last_sequence = "SELECT max(sequence) FROM entries";
inline constexpr const char* select_entry =
    "SELECT * FROM entries LEFT JOIN imports USING (sequence) WHERE sequence = ?";
inline constexpr const char* select_entries_after =
    "SELECT * FROM entries LEFT JOIN imports USING (sequence) WHERE sequence > ? ORDER BY sequence";

inline constexpr const char* upsert_row =
    "INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
inline constexpr const char* update_progress = "UPDATE progress SET sequence = ?, installs = ?";
inline constexpr const char* select_progress = "SELECT sequence, installs FROM progress";
inline constexpr const char* select_row = "SELECT * FROM rows WHERE install_id = ?";
inline constexpr const char* select_all_rows = "SELECT * FROM rows ORDER BY install_id";
inline constexpr const char* select_page =
    "SELECT * FROM rows WHERE install_id >= ?1 AND install_id < ?2 "
    "AND (?3 IS NULL OR tier_snapshot = ?3) ORDER BY install_id LIMIT ?4";

}  // namespace credits::persistence::sql
