// All SQL of the PostgreSQL engine.
//
// Months are YYYYMM; times are milliseconds since 1970; kinds, backends and counters are the
// numbers of stored_kind.hpp. Ids compare byte by byte (COLLATE "C"), as everywhere else.
#pragma once

namespace credits::persistence::postgres::sql {

inline constexpr int schema_version = 1;
#define CREDITS_SCHEMA_VERSION "1"

// The advisory locks of this program; the numbers avoid those of other programs.
inline constexpr const char* lock_schema = "SELECT pg_advisory_xact_lock(7247262851001)";
inline constexpr const char* try_lock_pruning = "SELECT pg_try_advisory_xact_lock(7247262851002)";

// Reads the catalogue: to_regclass() may return its result from before the wait for a lock.
#define CREDITS_HAS_LEDGER                                                       \
  "EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace" \
  " WHERE c.relname = 'credits_ledger' AND n.nspname = current_schema())"

// Makes the server answer a commit only when it is durable, also on the standbys that it waits for.
// A stronger setting is kept. Applies to a transaction or, if not `is_local`, to the session.
#define CREDITS_DURABLE(is_local)                           \
  "SELECT set_config('synchronous_commit', 'on', " is_local \
  ")"                                                       \
  " WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply');"
inline constexpr const char* begin_durable = "BEGIN;" CREDITS_DURABLE("true");
// The same, whatever the server's default isolation: after waiting for another transaction, a
// statement continues with the data which that one has committed, and does not fail.
inline constexpr const char* begin_durable_read_committed =
    "BEGIN ISOLATION LEVEL READ COMMITTED;" CREDITS_DURABLE("true");

// No statement waits for ever, and no lock is kept for a node that has stopped. Statements are too
// short for compiling them to pay off. A plan made while a table was empty must not scan the whole
// table later: without the last setting, select_names, select_page, forget_names and delete_pruned
// would, until the table is analyzed.
inline constexpr const char* set_up = CREDITS_DURABLE("false")
    "SELECT set_config(name, at_most, false)"
    " FROM (VALUES ('statement_timeout', '10s'), ('lock_timeout', '5s'),"
    "  ('idle_in_transaction_session_timeout', '60s')) AS wanted (name, at_most)"
    " WHERE current_setting(name) = '0';"
    "SET jit = off;"
    "SET enable_seqscan = off";

inline constexpr const char* takes_writes =
    "SELECT current_setting('transaction_read_only') = 'off'";
inline constexpr const char* server_time =
    "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
inline constexpr const char* backend_id = "SELECT pg_backend_pid()";
inline constexpr const char* who_answers =
    "SELECT pg_backend_pid(), (extract(epoch FROM pg_postmaster_start_time()) * 1000)::bigint,"
    " coalesce(current_schema(), ''), " CREDITS_HAS_LEDGER;
inline constexpr const char* timeline =
    "SELECT CASE WHEN pg_is_in_recovery() THEN ''"
    " ELSE substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END";

// Commits an entry without content in the server's log, and waits as every commit does. A barrier
// that nobody waits for any more would still wait for its standby, and occupy a connection of the
// server.
inline constexpr const char* barrier = "BEGIN;" CREDITS_DURABLE("true")
    "SELECT pg_logical_emit_message(true, 'creditsd', '');"
    "COMMIT";
inline constexpr const char* end_forgotten_barriers =
    "SELECT pg_cancel_backend(pid) FROM pg_stat_activity"
    " WHERE usename = current_user AND wait_event = 'SyncRep'"
    " AND query LIKE '%pg_logical_emit_message(true, ''creditsd''%'"
    " AND query_start < clock_timestamp() - interval '15 s'";

// Looks in the first schema of the search path, where tables are created; a ledger in another
// schema is a different one.
inline constexpr const char* has_schema = "SELECT " CREDITS_HAS_LEDGER;
inline constexpr const char* other_schema =
    "SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.oid = to_regclass('credits_ledger') AND n.nspname <> current_schema()";
inline constexpr const char* current_schema =
    "SELECT quote_ident(current_schema()), quote_ident(current_user),"
    " current_setting('search_path')";
inline constexpr const char* short_statement_timeout =
    "SELECT current_setting('statement_timeout') FROM pg_settings"
    " WHERE name = 'statement_timeout' AND setting::bigint BETWEEN 1 AND 4999";
inline constexpr const char* select_ledger = "SELECT schema_version, ledger_id FROM credits_ledger";

// The columns of a row, in the table of installs and in that of the baselines. `holds` has the
// reservations, see holds.hpp; `hash` is that of the newest entry, see chain.hpp.
#define CREDITS_ROW_DEFINITION                  \
  "install_id text COLLATE \"C\" PRIMARY KEY, " \
  "tier_snapshot text NOT NULL, "               \
  "lifetime_consumed bigint NOT NULL, "         \
  "lifetime_gemini_consumed bigint NOT NULL, "  \
  "month integer NOT NULL, "                    \
  "monthly_consumed bigint NOT NULL, "          \
  "monthly_gemini_consumed bigint NOT NULL, "   \
  "last_active_at_ms bigint NOT NULL, "         \
  "version bigint NOT NULL, "                   \
  "holds bytea, "                               \
  "hash bytea"
#define CREDITS_ROW_COLUMNS                                                         \
  "install_id, tier_snapshot, lifetime_consumed, lifetime_gemini_consumed, month, " \
  "monthly_consumed, monthly_gemini_consumed, last_active_at_ms, version, holds, hash"
#define CREDITS_ROW_REPLACED_BUT_HASH                              \
  "tier_snapshot = EXCLUDED.tier_snapshot, "                       \
  "lifetime_consumed = EXCLUDED.lifetime_consumed, "               \
  "lifetime_gemini_consumed = EXCLUDED.lifetime_gemini_consumed, " \
  "month = EXCLUDED.month, "                                       \
  "monthly_consumed = EXCLUDED.monthly_consumed, "                 \
  "monthly_gemini_consumed = EXCLUDED.monthly_gemini_consumed, "   \
  "last_active_at_ms = EXCLUDED.last_active_at_ms, "               \
  "version = EXCLUDED.version, "                                   \
  "holds = EXCLUDED.holds"
#define CREDITS_ROW_REPLACED CREDITS_ROW_REPLACED_BUT_HASH ", hash = EXCLUDED.hash"

// `replaced_version` is the version that the last write of a row replaced. As a column, it lets the
// guard of that write be a part of the statement.
inline constexpr const char* schema = R"(
  CREATE TABLE credits_ledger (ledger_id text NOT NULL, schema_version integer NOT NULL);
  INSERT INTO credits_ledger VALUES (md5(random()::text || clock_timestamp()::text), 1);
  CREATE TABLE credits_installs (
)" CREDITS_ROW_DEFINITION R"(,
    replaced_version bigint NOT NULL
  ) WITH (fillfactor = 70);
  CREATE TABLE credits_entries (
    install_id text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    at_ms bigint NOT NULL,
    kind smallint NOT NULL,
    tier text NOT NULL,
    backend smallint,
    credits bigint NOT NULL,
    counter smallint NOT NULL,
    month integer NOT NULL,
    idempotency_key text,
    reservation_id text,
    expires_at_ms bigint,
    imported bytea,              -- for an import: the counters of the old ledger
    request text,                -- with status and answer: the entry's receipt
    status integer,
    answer text,
    mutation_id bytea NOT NULL,
    hash bytea,
    PRIMARY KEY (install_id, version)
  );
  CREATE INDEX credits_entries_by_age ON credits_entries USING brin (at_ms);
  CREATE TABLE credits_names (   -- names by which entries are found
    install_id text COLLATE "C" NOT NULL,
    kind smallint NOT NULL,
    name text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    at_ms bigint NOT NULL,
    PRIMARY KEY (install_id, kind, name)
  );
  CREATE INDEX credits_names_by_age ON credits_names USING brin (at_ms);
  CREATE TABLE credits_baselines (  -- rows that stand for pruned entries
)" CREDITS_ROW_DEFINITION R"(
  );
  CREATE TABLE credits_quota (   -- one row
    is_the_one boolean PRIMARY KEY DEFAULT true CHECK (is_the_one),
    quota text NOT NULL
  );
)";

inline constexpr const char* select_quota = "SELECT quota FROM credits_quota";
inline constexpr const char* keep_first_quota =
    "INSERT INTO credits_quota (quota) VALUES ($1) ON CONFLICT DO NOTHING";
inline constexpr const char* replace_quota =
    "INSERT INTO credits_quota (quota) VALUES ($1)"
    " ON CONFLICT (is_the_one) DO UPDATE SET quota = EXCLUDED.quota";
inline constexpr const char* replace_this_quota =
    "UPDATE credits_quota SET quota = $2 WHERE quota = $1";

// Writes a batch in one statement. Rows are locked in the order of their ids, so two batches never
// deadlock. The lock timeout is short, as one held row would delay the others, and shorter than the
// statement timeout, so that the error shows that a lock was the reason.
//
// An install is written only if its version and hash are those that the batch replaces. The batch's
// `hash` is the new hash followed by the replaced one, as ON CONFLICT sees only values of the
// table's columns. An install that should exist but is gone would be inserted again; the statement
// then fails with division_by_zero.
//
// Settings for the commit are made inside the transaction, as the session may be shared. If a newer
// program has upgraded the schema meanwhile, the statement fails with
// invalid_argument_for_logarithm, as this program would lose data that it does not know.
inline constexpr const char* append = R"(
  WITH settings AS MATERIALIZED (
    SELECT set_config('lock_timeout',
      CASE WHEN extract(epoch FROM current_setting('statement_timeout')::interval) BETWEEN 0.002 AND 1
        THEN ceil(extract(epoch FROM current_setting('statement_timeout')::interval) * 500)::text
        ELSE '500' END, true), set_config('synchronous_commit',
      CASE WHEN current_setting('synchronous_commit') = 'remote_apply' THEN 'remote_apply'
        ELSE 'on' END, true),
      ln(CASE WHEN schema_version > )" CREDITS_SCHEMA_VERSION R"( THEN 0 ELSE 1 END)
    FROM credits_ledger
  ), written AS (
    INSERT INTO credits_installs AS kept
    SELECT batch.* FROM settings, unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
      AS batch ()" CREDITS_ROW_COLUMNS R"(, replaced_version)
    ORDER BY install_id COLLATE "C"
    ON CONFLICT (install_id) DO UPDATE SET )" CREDITS_ROW_REPLACED_BUT_HASH R"(,
      hash = substr(EXCLUDED.hash, 1, 32), replaced_version = EXCLUDED.replaced_version
    WHERE kept.version = EXCLUDED.replaced_version AND kept.hash IS NOT DISTINCT FROM
      CASE WHEN length(EXCLUDED.hash) > 32 THEN substr(EXCLUDED.hash, 33) END
    RETURNING install_id,
      1 / CASE WHEN kept.xmax = 0 AND kept.replaced_version > 0 THEN 0 ELSE 1 END
  ), entries AS (
    INSERT INTO credits_entries
    SELECT * FROM unnest($13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27,
                         $28, $29, $30)
      AS batch (install_id, version, at_ms, kind, tier, backend, credits, counter, month,
                idempotency_key, reservation_id, expires_at_ms, imported, request, status, answer,
                mutation_id, hash)
    WHERE install_id IN (SELECT install_id FROM written)
  ), names AS (
    INSERT INTO credits_names
    SELECT * FROM unnest($31, $32, $33, $34, $35) AS batch (install_id, kind, name, version, at_ms)
    WHERE install_id IN (SELECT install_id FROM written)
    ON CONFLICT (install_id, kind, name) DO UPDATE SET
      version = EXCLUDED.version, at_ms = EXCLUDED.at_ms
  )
  SELECT install_id FROM written
)";

// A row without an id means that the server does not accept writes; its rows may be stale.
inline constexpr const char* select_stamps =
    "SELECT install_id, version, hash FROM credits_installs WHERE install_id = ANY($1)"
    " UNION ALL SELECT NULL, 0, NULL WHERE current_setting('transaction_read_only') = 'on'";

// Locks those of the installs that no other transaction holds.
inline constexpr const char* lock_free_installs =
    "SELECT install_id FROM credits_installs WHERE install_id = ANY($1)"
    " ORDER BY install_id FOR UPDATE SKIP LOCKED";

// Takes as much room on the disk as a write needs; to be rolled back.
inline constexpr const char* insert_blank_entries = R"(
  INSERT INTO credits_entries
  SELECT '', version, 0, 0, repeat('x', 1000), NULL, 0, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL,
    NULL, ''::bytea, NULL FROM generate_series(1, 64) version
)";

inline constexpr const char* select_rows =
    "SELECT " CREDITS_ROW_COLUMNS " FROM credits_installs WHERE install_id = ANY($1)";
inline constexpr const char* select_page =
    "SELECT " CREDITS_ROW_COLUMNS
    " FROM credits_installs"
    " WHERE install_id > $1 AND install_id >= $2 AND starts_with(install_id, $2)"
    " AND ($3::text IS NULL OR tier_snapshot = $3) ORDER BY install_id LIMIT $4";
// Exact for few installs; otherwise the estimate that the server's VACUUM and ANALYZE maintain.
inline constexpr const char* count_installs = R"(
  SELECT CASE WHEN reltuples > 10000 THEN reltuples::bigint
    ELSE (SELECT count(*) FROM (SELECT FROM credits_installs LIMIT 10001) counted) END
  FROM pg_class WHERE oid = 'credits_installs'::regclass
)";
inline constexpr const char* has_installs = "SELECT EXISTS (SELECT FROM credits_installs)";

#define CREDITS_ENTRY                                                                            \
  "e.install_id, e.version, e.at_ms, e.kind, e.tier, e.backend, e.credits, e.counter, e.month, " \
  "e.idempotency_key, e.reservation_id, e.expires_at_ms, e.imported, e.request, e.status, "      \
  "e.answer, e.mutation_id, e.hash"
// The last column is the hash of the previous entry.
#define CREDITS_ENTRY_COLUMNS CREDITS_ENTRY ", coalesce(before.hash, base.hash)"
#define CREDITS_BEFORE                                                      \
  " LEFT JOIN credits_entries before"                                       \
  " ON before.install_id = e.install_id AND before.version = e.version - 1" \
  " LEFT JOIN credits_baselines base"                                       \
  " ON base.install_id = e.install_id AND base.version = e.version - 1"
inline constexpr const char* select_entries =
    "SELECT " CREDITS_ENTRY_COLUMNS " FROM credits_entries e" CREDITS_BEFORE
    " WHERE e.install_id = $1 AND e.version < $2 ORDER BY e.version DESC LIMIT $3";
// `place` is the position of the name in the query.
inline constexpr const char* select_recalled =
    "SELECT " CREDITS_ENTRY_COLUMNS
    ", asked.place"
    " FROM unnest($2, $3) WITH ORDINALITY asked (kind, name, place)"
    " JOIN credits_names n ON n.install_id = $1 AND n.kind = asked.kind AND n.name = asked.name"
    " JOIN credits_entries e ON e.install_id = $1 AND e.version = n.version" CREDITS_BEFORE;
inline constexpr const char* select_names =
    "SELECT kind, name FROM credits_names WHERE install_id = $1 LIMIT $2";

inline constexpr const char* forget_names =
    "DELETE FROM credits_names WHERE ctid = ANY (ARRAY("
    " SELECT ctid FROM credits_names WHERE at_ms < $1 LIMIT $2))";
// The oldest entries of each install, up to the first that is younger or that a name finds. In
// order, so that an install beyond the limit contributes its oldest entries.
inline constexpr const char* select_prunable =
    "SELECT " CREDITS_ENTRY
    ", NULL::bytea FROM credits_entries e WHERE at_ms < $1 AND e.install_id <> ALL($3)"
    " AND NOT EXISTS (SELECT FROM credits_names n"
    "  WHERE n.install_id = e.install_id AND n.version <= e.version)"
    " AND NOT EXISTS (SELECT FROM credits_entries young WHERE young.install_id = e.install_id"
    "  AND young.version < e.version AND young.at_ms >= $1)"
    " ORDER BY e.install_id, e.version LIMIT $2";
inline constexpr const char* select_baselines =
    "SELECT " CREDITS_ROW_COLUMNS " FROM credits_baselines WHERE install_id = ANY($1)";
inline constexpr const char* upsert_baselines = R"(
  INSERT INTO credits_baselines
  SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
  ON CONFLICT (install_id) DO UPDATE SET )" CREDITS_ROW_REPLACED;
inline constexpr const char* delete_pruned =
    "DELETE FROM credits_entries e USING unnest($1, $2) AS gone (install_id, version)"
    " WHERE e.install_id = gone.install_id AND e.version <= gone.version";

// --- reading and writing whole ledgers

inline constexpr const char* begin_snapshot = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
inline constexpr const char* count_entries = "SELECT count(*) FROM credits_entries";
inline constexpr const char* select_all_baselines =
    "SELECT " CREDITS_ROW_COLUMNS " FROM credits_baselines ORDER BY install_id";
inline constexpr const char* select_all_rows =
    "DECLARE credits_rows NO SCROLL CURSOR FOR SELECT " CREDITS_ROW_COLUMNS
    " FROM credits_installs ORDER BY install_id";
inline constexpr const char* fetch_rows = "FETCH 2000 FROM credits_rows";
inline constexpr const char* select_entries_by_install =
    "DECLARE credits_all_entries NO SCROLL CURSOR FOR SELECT " CREDITS_ENTRY
    ", NULL::bytea FROM credits_entries e ORDER BY e.install_id, e.version";
// In the order of writing, as far as their times show it, and in order within each install.
inline constexpr const char* select_entries_by_time =
    "DECLARE credits_all_entries NO SCROLL CURSOR FOR SELECT " CREDITS_ENTRY
    ", NULL::bytea FROM (SELECT *, max(at_ms) OVER (PARTITION BY install_id ORDER BY version)"
    " AS not_before FROM credits_entries) e ORDER BY not_before, e.install_id, e.version";
inline constexpr const char* fetch_entries = "FETCH 2000 FROM credits_all_entries";
inline constexpr const char* select_all_names =
    "DECLARE credits_all_names NO SCROLL CURSOR FOR"
    " SELECT install_id, kind, name, version FROM credits_names ORDER BY install_id";
inline constexpr const char* fetch_names = "FETCH 2000 FROM credits_all_names";

inline constexpr const char* lock_installs = "LOCK TABLE credits_installs IN EXCLUSIVE MODE";
inline constexpr const char* insert_rows = R"(
  INSERT INTO credits_installs
  SELECT *, 0 FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
)";
inline constexpr const char* insert_entries = R"(
  INSERT INTO credits_entries
  SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,
                       $18)
)";
inline constexpr const char* insert_names = R"(
  INSERT INTO credits_names SELECT * FROM unnest($1, $2, $3, $4, $5)
  ON CONFLICT (install_id, kind, name) DO UPDATE SET
    version = EXCLUDED.version, at_ms = EXCLUDED.at_ms
)";

}  // namespace credits::persistence::postgres::sql
