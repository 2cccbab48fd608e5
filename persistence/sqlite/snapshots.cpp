#include "persistence/sqlite/snapshots.hpp"

#include <SQLiteCpp/VariadicBind.h>

#include <algorithm>
#include <utility>

#include "persistence/sqlite/file.hpp"
#include "persistence/sqlite/sql.hpp"

namespace credits::persistence {

namespace {

// Ids are printable ASCII without space: an id continued by the least byte, or by one beyond every
// byte, bounds all ids that begin with it.
constexpr const char* least_byte = "!";
constexpr const char* beyond_every_byte = "\x7f";

// Binds the first parameters of every statement about a name.
void bind_replay_key(SQLite::Statement& statement, const std::string& install_id,
                     const ledger::ReplayKey& key) {
  statement.bindNoCopy(1, install_id);
  statement.bind(2, static_cast<int>(key.kind));
  statement.bindNoCopy(3, key.text);
}

std::optional<std::uint64_t> find_replay_key(SQLite::Statement& select,
                                             const std::string& install_id,
                                             const ledger::ReplayKey& key) {
  const Rewind rewind{select};
  bind_replay_key(select, install_id, key);
  if (!select.executeStep()) return std::nullopt;
  return static_cast<std::uint64_t>(select.getColumn(0).getInt64());
}

Progress read_progress(SQLite::Database& database, const std::filesystem::path& path) {
  SQLite::Statement select{database, sql::select_progress};
  if (!select.executeStep())
    throw StoreError{StoreErrorKind::refused,
                     path.string() + " does not record how much of the journal it covers"};
  const auto column = [&select](int index) {
    return static_cast<std::uint64_t>(select.getColumn(index).getInt64());
  };
  return {column(0), column(1), column(2)};
}

// Opens a temporary file, which has no name and disappears with its connection.
SQLite::Database open_rest() {
  SQLite::Database rest{"", SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE};
  rest.exec("PRAGMA journal_mode = OFF");
  rest.exec(sql::snapshots_schema.first);
  for (const char* upgrade : sql::snapshots_schema.upgrades) rest.exec(upgrade);
  return rest;
}

}  // namespace

SnapshotReader::SnapshotReader(const std::filesystem::path& path)
    : path_{path},
      database_{open_reader(path)},
      select_row_{prepare(path_, database_, sql::select_row)},
      select_page_{prepare(path_, database_, sql::select_page)},
      select_name_{prepare(path_, database_, sql::select_name)},
      select_names_{prepare(path_, database_, sql::select_names)} {}

std::optional<StoredRow> SnapshotReader::load(const std::string& id) {
  const std::lock_guard lock{mutex_};
  return on_install(path_, id, [&]() -> std::optional<StoredRow> {
    const Rewind rewind{select_row_};
    select_row_.bindNoCopy(1, id);
    if (!select_row_.executeStep()) return std::nullopt;
    return read_row(select_row_, path_);
  });
}

std::vector<ledger::Row> SnapshotReader::list(const ListQuery& query) {
  const std::lock_guard lock{mutex_};
  return on_part(path_, "a row after install \"" + query.after + "\"", [&] {
    const Rewind rewind{select_page_};
    const std::string first = std::max(query.prefix, query.after + least_byte);
    select_page_.bind(1, first);
    select_page_.bind(2, query.prefix + beyond_every_byte);
    query.tier ? select_page_.bind(3, *query.tier) : select_page_.bind(3);
    select_page_.bind(4, static_cast<std::int64_t>(query.limit));
    std::vector<ledger::Row> page;
    while (select_page_.executeStep()) page.push_back(read_row(select_page_, path_).row);
    return page;
  });
}

std::optional<std::uint64_t> SnapshotReader::find(const std::string& install_id,
                                                  const ledger::ReplayKey& key) {
  const std::lock_guard lock{mutex_};
  return on_install(path_, install_id,
                    [&] { return find_replay_key(select_name_, install_id, key); });
}

std::vector<ledger::ReplayKey> SnapshotReader::replay_keys(const std::string& install_id,
                                                           std::size_t limit) {
  const std::lock_guard lock{mutex_};
  return on_install(path_, install_id, [&] {
    const Rewind rewind{select_names_};
    select_names_.bindNoCopy(1, install_id);
    select_names_.bind(2, static_cast<std::int64_t>(limit));
    std::vector<ledger::ReplayKey> replay_keys;
    while (select_names_.executeStep()) {
      replay_keys.push_back(
          {static_cast<ledger::ReplayKey::Kind>(select_names_.getColumn(0).getInt()),
           select_names_.getColumn(1).getString()});
    }
    return replay_keys;
  });
}

SnapshotWriter::SnapshotWriter(const std::filesystem::path& path, const std::string& ledger_id)
    : path_{path},
      database_{open_writer(path, sql::snapshots_schema, ledger_id)},
      upsert_row_{prepare(path_, database_, sql::upsert_row)},
      upsert_name_{prepare(path_, database_, sql::upsert_name)},
      update_progress_{prepare(path_, database_, sql::update_progress)} {
  // After a power cut the file is consistent but may be slightly out of date: the journal has the
  // rest.
  database_.exec("PRAGMA synchronous = NORMAL");
  database_.exec("PRAGMA wal_autocheckpoint = 4096");
}

std::string SnapshotWriter::ledger_id() {
  return on_file(path_, [this] { return read_ledger_id(database_); });
}

Progress SnapshotWriter::progress() {
  return on_file(path_, [this] { return read_progress(database_, path_); });
}

void SnapshotWriter::write(const std::vector<const PendingRow*>& rows, const Progress& progress) {
  on_file(path_, database_, [&] {
    SQLite::Transaction transaction{database_};
    for (const PendingRow* pending : rows) {
      const Rewind rewind{upsert_row_};
      bind_row(upsert_row_, pending->stored);
      upsert_row_.exec();
      for (const auto& [key, sequence] : pending->replay_keys) {
        const Rewind rewind_name{upsert_name_};
        bind_replay_key(upsert_name_, pending->stored.row.install_id, key);
        upsert_name_.bind(4, to_integer(sequence));
        upsert_name_.exec();
      }
    }
    const Rewind rewind{update_progress_};
    SQLite::bind(update_progress_, to_integer(progress.sequence), to_integer(progress.installs));
    update_progress_.exec();
    transaction.commit();
  });
}

void SnapshotWriter::forget(const std::vector<OldReplayKey>& replay_keys,
                            std::uint64_t forgotten_sequence) {
  on_file(path_, database_, [&] {
    database_.exec("PRAGMA synchronous = FULL");
    SQLite::Transaction transaction{database_};
    SQLite::Statement remove{database_, sql::delete_name};
    for (const OldReplayKey& old : replay_keys) {
      const Rewind rewind{remove};
      bind_replay_key(remove, old.install_id, old.key);
      remove.bind(4, to_integer(old.sequence));
      remove.exec();
    }
    execute(sql::update_forgotten, forgotten_sequence);
    transaction.commit();
    database_.exec("PRAGMA synchronous = NORMAL");
  });
}

void SnapshotWriter::shrink_log() {
  if (!is_log_large(path_)) return;
  on_file(path_, database_, [this] { restart_log(database_); });
}

void SnapshotWriter::execute(const char* statement, std::uint64_t parameter) {
  SQLite::Statement prepared{database_, statement};
  prepared.bind(1, to_integer(parameter));
  prepared.exec();
}

SnapshotCursor::Rest::Rest()
    : database{open_rest()},
      insert{database, sql::upsert_row},
      select{database, sql::select_all_rows} {}

SnapshotCursor::SnapshotCursor(const std::filesystem::path& path,
                               std::chrono::milliseconds hold_max)
    : path_{path},
      database_{open_reader(path)},
      select_{prepare(path_, database_, sql::select_rows_after)},
      select_name_{prepare(path_, database_, sql::select_name)},
      hold_until_{std::chrono::steady_clock::now() + hold_max} {
  on_part(path_, "the first row", [this] {
    database_.exec("BEGIN");
    read_on();  // from here on, this connection reads one snapshot
  });
}

void SnapshotCursor::read_on() {
  select_.reset();
  select_.bind(1, last_id_);
  has_row_ = select_.executeStep();
}

void SnapshotCursor::release_file() {
  hold_until_ += hold_to_the_end;
  try {
    auto rest = std::make_unique<Rest>();
    SQLite::Transaction transaction{rest->database};
    for (bool has_row = has_row_; has_row; has_row = select_.executeStep()) {
      const Rewind rewind{rest->insert};
      const StoredRow stored = read_row(select_, path_);
      bind_row(rest->insert, stored);
      rest->insert.exec();
    }
    transaction.commit();
    has_row_ = rest->select.executeStep();
    rest_ = std::move(rest);
  } catch (const std::exception&) {
    // No room, or a damaged row: next_stored() throws when it comes to that row.
    return on_part(path_, "a row after install \"" + last_id_ + "\"", [this] { read_on(); });
  }
  select_.reset();
  on_file(path_, [this] { database_.exec("COMMIT"); });
}

std::optional<StoredRow> SnapshotCursor::next_stored() {
  if (!rest_ && std::chrono::steady_clock::now() >= hold_until_) release_file();
  if (!has_row_) return std::nullopt;
  return on_part(path_, "a row after install \"" + last_id_ + "\"", [this] {
    SQLite::Statement& select = rest_ ? rest_->select : select_;
    std::optional<StoredRow> stored = read_row(select, path_);
    last_id_ = stored->row.install_id;
    has_row_ = select.executeStep();
    return stored;
  });
}

std::optional<ledger::Row> SnapshotCursor::next() {
  auto stored = next_stored();
  return stored ? std::optional{std::move(stored->row)} : std::nullopt;
}

std::string SnapshotCursor::ledger_id() {
  return on_file(path_, [this] { return read_ledger_id(database_); });
}

std::optional<std::uint64_t> SnapshotCursor::find(const std::string& install_id,
                                                  const ledger::ReplayKey& key) {
  return on_file(path_, [&] { return find_replay_key(select_name_, install_id, key); });
}

std::uint64_t SnapshotCursor::replay_keys_after(std::uint64_t sequence) {
  return on_file(path_, [&] {
    SQLite::Statement count{database_, sql::count_names};
    count.bind(1, to_integer(sequence));
    count.executeStep();
    return static_cast<std::uint64_t>(count.getColumn(0).getInt64());
  });
}

Progress SnapshotCursor::progress() {
  return on_file(path_, [this] { return read_progress(database_, path_); });
}

}  // namespace credits::persistence
