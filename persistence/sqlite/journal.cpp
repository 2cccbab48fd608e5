#include "persistence/sqlite/journal.hpp"

#include <SQLiteCpp/VariadicBind.h>
#include <sqlite3.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "actors/ledger/rules.hpp"
#include "persistence/encoder.hpp"
#include "persistence/sqlite/file.hpp"
#include "persistence/sqlite/log.hpp"
#include "persistence/sqlite/snapshots.hpp"
#include "persistence/sqlite/sql.hpp"
#include "persistence/stored_kind.hpp"

namespace credits::persistence {

namespace {

constexpr int mutation_id_bytes = 16;

// Columns of select_entry and select_entries_after.
enum Column : int {
  sequence,
  previous_sequence,
  install_id,
  version,
  at_ms,
  kind,
  tier,
  backend,
  credits,
  counter,
  month,
  idempotency_key,
  reservation_id,
  mutation_id,
  expires_at_ms,
  request,
  status,
  answer,
  hash,
  lifetime_consumed,
  lifetime_gemini_consumed,
  monthly_consumed,
  monthly_gemini_consumed,
  last_active_at_ms,
};

ledger::Time to_time(std::int64_t milliseconds) {
  return ledger::Time{std::chrono::milliseconds{milliseconds}};
}

void bind_optional(SQLite::Statement& statement, int index,
                   const std::optional<std::string>& value) {
  value ? statement.bindNoCopy(index, *value) : statement.bind(index);
}

std::optional<std::string> optional_text(const SQLite::Column& column) {
  return column.isNull() ? std::nullopt : std::optional{column.getString()};
}

std::uint64_t unsigned_of(SQLite::Statement& row, Column column) {
  return static_cast<std::uint64_t>(row.getColumn(column).getInt64());
}

ledger::MutationId read_mutation_id(const SQLite::Column& column) {
  ledger::MutationId id;
  if (column.getBytes() != mutation_id_bytes) return id;
  std::memcpy(&id, column.getBlob(), mutation_id_bytes);
  return id;
}

ledger::ImportedCounters read_imported(SQLite::Statement& row) {
  return {row.getColumn(lifetime_consumed).getInt64(),
          row.getColumn(lifetime_gemini_consumed).getInt64(),
          row.getColumn(monthly_consumed).getInt64(),
          row.getColumn(monthly_gemini_consumed).getInt64(),
          to_time(row.getColumn(last_active_at_ms).getInt64())};
}

ledger::Entry read_entry(SQLite::Statement& row) {
  ledger::Entry entry;
  entry.version = unsigned_of(row, version);
  entry.at = to_time(row.getColumn(at_ms).getInt64());
  set_stored_kind(entry, row.getColumn(kind).getInt64());
  entry.tier = row.getColumn(tier).getString();
  if (!row.getColumn(backend).isNull()) {
    entry.backend = static_cast<ledger::Backend>(row.getColumn(backend).getInt());
  }
  entry.credits = row.getColumn(credits).getInt64();
  entry.counter = static_cast<ledger::Counter>(row.getColumn(counter).getInt());
  entry.month = to_month(row.getColumn(month).getInt64());
  entry.idempotency_key = optional_text(row.getColumn(idempotency_key));
  entry.reservation_id = optional_text(row.getColumn(reservation_id));
  entry.mutation_id = read_mutation_id(row.getColumn(mutation_id));
  if (!row.getColumn(expires_at_ms).isNull()) {
    entry.expires_at = to_time(row.getColumn(expires_at_ms).getInt64());
  }
  if (!row.getColumn(request).isNull()) {
    entry.receipt = {row.getColumn(request).getString(), row.getColumn(status).getInt(),
                     row.getColumn(answer).getString()};
  }
  if (!row.getColumn(lifetime_consumed).isNull()) entry.imported = read_imported(row);
  return entry;
}

void bind_receipt(SQLite::Statement& insert, const std::optional<ledger::Receipt>& receipt) {
  if (receipt) {
    insert.bindNoCopy(1 + request, receipt->request);
    insert.bind(1 + status, receipt->status);
    insert.bindNoCopy(1 + answer, receipt->body);
  } else {
    for (const Column column : {request, status, answer}) insert.bind(1 + column);
  }
}

void visit_records(SQLite::Database& database, std::uint64_t after_sequence,
                   const VisitRecord& visit) {
  SQLite::Statement select{database, sql::select_entries_after};
  select.bind(1, to_integer(after_sequence));
  while (select.executeStep()) {
    const std::string id = select.getColumn(install_id).getString();
    const ledger::Entry entry = read_entry(select);
    const JournalRecord record{unsigned_of(select, sequence),
                               unsigned_of(select, previous_sequence), id, entry,
                               read_hash(select.getColumn(hash))};
    if (!visit(record)) return;
  }
}

std::uint64_t read_pruned_sequence(SQLite::Database& database) {
  return static_cast<std::uint64_t>(database.execAndGet(sql::select_pruned_sequence).getInt64());
}

}  // namespace

JournalReader::JournalReader(const std::filesystem::path& path)
    : path_{path},
      database_{open_reader(path)},
      select_entry_{prepare(path_, database_, sql::select_entry)},
      select_hash_{prepare(path_, database_, sql::select_hash)} {}

// While select_entry_ is open, its read transaction keeps the hash of the entry before from being
// pruned.
ledger::Entry JournalReader::selected_entry() {
  ledger::Entry entry = read_entry(select_entry_);
  const auto stored = read_hash(select_entry_.getColumn(hash));
  const std::string id = select_entry_.getColumn(install_id).getString();
  if (!hasher_.fits(stored, hash_before_selected(id), id, entry)) throw_selected_damaged();
  return entry;
}

void JournalReader::throw_selected_damaged() {
  throw StoreError{
      StoreErrorKind::damaged,
      path_.string() + ": entry " + std::to_string(unsigned_of(select_entry_, sequence)) +
          ", version " + std::to_string(unsigned_of(select_entry_, version)) + " of install \"" +
          select_entry_.getColumn(install_id).getString() +
          "\", is damaged; creditsctl check reports more, restore the ledger from a backup"};
}

bool JournalReader::select(const std::string& id, std::uint64_t wanted) {
  select_entry_.bind(1, to_integer(wanted));
  if (!select_entry_.executeStep()) {
    if (wanted <= read_pruned_sequence(database_)) return false;
    throw to_damaged_error(path_, install_in_words(id),
                           "its entry " + std::to_string(wanted) + " is missing");
  }
  const std::string found = select_entry_.getColumn(install_id).getString();
  if (found == id) return true;
  throw to_damaged_error(
      path_, install_in_words(id),
      "its entry " + std::to_string(wanted) + " is of install \"" + found + "\"");
}

std::optional<Hash> JournalReader::hash_before_selected(const std::string& id) {
  const std::uint64_t previous = unsigned_of(select_entry_, previous_sequence);
  if (previous == 0) return std::nullopt;
  const Rewind rewind{select_hash_};
  select_hash_.bind(1, to_integer(previous));
  select_hash_.bindNoCopy(2, id);
  select_hash_.executeStep();
  return read_hash(select_hash_.getColumn(0));
}

std::optional<ledger::Entry> JournalReader::entry(const std::string& id, std::uint64_t wanted) {
  const std::lock_guard lock{mutex_};
  return on_install(path_, id, [&]() -> std::optional<ledger::Entry> {
    const Rewind rewind{select_entry_};
    return select(id, wanted) ? std::optional{selected_entry()} : std::nullopt;
  });
}

std::vector<ledger::Entry> JournalReader::entries(const std::string& id,
                                                  std::uint64_t last_sequence,
                                                  std::uint64_t before_version, std::size_t limit) {
  const std::lock_guard lock{mutex_};
  return on_install(path_, id, [&] {
    std::vector<ledger::Entry> page;
    std::uint64_t newer_version = 0;
    for (std::uint64_t next = last_sequence; next != 0 && page.size() < limit;) {
      const Rewind rewind{select_entry_};
      if (!select(id, next)) break;
      const std::uint64_t found_version = unsigned_of(select_entry_, version);
      next = unsigned_of(select_entry_, previous_sequence);
      const bool follows = newer_version == 0 || found_version + 1 == newer_version;
      if (!follows || (next == 0) != (found_version == 1)) throw_selected_damaged();
      if (found_version < before_version) page.push_back(selected_entry());
      newer_version = found_version;
    }
    return page;
  });
}

void JournalReader::visit_after(std::uint64_t after_sequence, const VisitRecord& visit) {
  const std::lock_guard lock{mutex_};
  on_file(path_, [&] { visit_records(database_, after_sequence, visit); });
}

std::string JournalReader::ledger_id() {
  const std::lock_guard lock{mutex_};
  return on_file(path_, [this] { return read_ledger_id(database_); });
}

std::optional<ledger::Time> JournalReader::newest_time() {
  const std::lock_guard lock{mutex_};
  return on_file(path_, [this]() -> std::optional<ledger::Time> {
    SQLite::Statement select{database_, sql::select_newest_time};
    if (!select.executeStep()) return std::nullopt;
    return to_time(select.getColumn(0).getInt64());
  });
}

std::uint64_t JournalReader::pruned_sequence() {
  const std::lock_guard lock{mutex_};
  return on_file(path_, [this] { return read_pruned_sequence(database_); });
}

void JournalReader::visit_baselines(const std::function<void(StoredRow)>& visit) {
  const std::lock_guard lock{mutex_};
  on_file(path_, [&] {
    SQLite::Statement select{database_, sql::select_baselines};
    while (select.executeStep()) visit(read_row(select, path_));
  });
}

void JournalReader::begin_snapshot() {
  const std::lock_guard lock{mutex_};
  on_file(path_, [this] {
    database_.exec("BEGIN");
    read_pruned_sequence(database_);  // the first read takes the snapshot
  });
}

void expect_own_files(const std::filesystem::path& data_dir) {
  const auto journal = data_dir / journal_file;
  const auto snapshots = data_dir / snapshots_file;
  expect_file_of_log(journal);
  expect_own_log(journal);
  if (!std::filesystem::exists(snapshots) || !is_backup(journal)) return;
  throw StoreError{
      StoreErrorKind::refused,
      journal.string() + " is a backup, and " + snapshots.string() +
          " belongs to another journal.db that was here before; remove snapshots.db, "
          "snapshots.db-wal and snapshots.db-shm, and the start creates them from the backup"};
}

void expect_entries_without_log(const std::filesystem::path& path, std::uint64_t last_sequence) {
  if (last_sequence > 0) return;
  throw StoreError{StoreErrorKind::refused,
                   path.string() + " has no entries, and its log, " + log_of(path).string() +
                       ", is missing; put the log beside it, or remove it to begin a new ledger"};
}

std::string missing_log_in_words(const std::filesystem::path& path) {
  return path.string() + " was in use when it was copied or its log removed, and the log, " +
         log_of(path).string() +
         ", is missing: the newest entries may be missing too; if they are, restore a backup, or "
         "start from a copy that has the log";
}

Journal::Journal(const std::filesystem::path& path, const std::string& ledger_id)
    : path_{path},
      is_log_missing_{persistence::is_log_missing(path)},
      writer_{open_writer(path, sql::journal_schema, ledger_id)},
      ledger_id_{on_file(path, writer_, [this] { return read_ledger_id(writer_); })},
      insert_entry_{prepare(path_, writer_, sql::insert_entry)},
      insert_import_{prepare(path_, writer_, sql::insert_import)},
      pruning_reader_{open_reader(path)} {
  // A commit is synced before it returns. The log is moved into the file when it reaches 16 MiB.
  writer_.exec("PRAGMA synchronous = FULL");
  writer_.exec("PRAGMA wal_autocheckpoint = 4096");
  if (is_log_missing_) expect_entries_without_log(path_, last_sequence());
}

Journal::~Journal() {
  if (!is_in_use_) return;
  try {
    guarded([this] { write_mark(writer_, Mark::closed); });
  } catch (const StoreError&) {
    leave_log(writer_, true);
  }
}

void Journal::expect_writable() {
  persistence::expect_writable(path_, writer_, [this] {
    write_mark(writer_, Mark::in_use);
    writer_.exec("PRAGMA wal_checkpoint(PASSIVE)");  // so that the mark is in the file itself
  });
  is_in_use_ = true;
}

std::uint64_t Journal::last_sequence() {
  const std::lock_guard lock{mutex_};
  return on_file(path_, [&] {
    return static_cast<std::uint64_t>(writer_.execAndGet(sql::select_last_sequence).getInt64());
  });
}

void Journal::append(const std::vector<JournalRecord>& records) {
  write([&] {
    std::uint64_t last = records.empty() ? 0 : records.front().sequence - 1;
    for (const JournalRecord& record : records) {
      CREDITS_EXPECTS(record.sequence == ++last && record.previous_sequence < record.sequence);
      insert(record);
    }
  });
}

void Journal::probe() {
  guarded([this] { write_again(writer_); });
}

void Journal::shrink_log() {
  if (!is_log_large(path_)) return;
  guarded([this] { restart_log(writer_); });
}

template <class Work>
void Journal::write(Work work) {
  guarded([&] {
    SQLite::Transaction transaction{writer_};
    work();
    transaction.commit();
  });
}

template <class Work>
void Journal::guarded(Work work) {
  const std::lock_guard lock{mutex_};
  expect_unbroken();
  try {
    work();
  } catch (const SQLite::Exception& error) {
    if (is_for_good(error)) {
      give_up(path_.string() + ": a sync has failed (" + error.what() +
              "); nothing can be promised any more, see to the disk and start again");
    }
    throw to_store_error(path_, writer_, error);
  }
}

void Journal::give_up(const std::string& reason) {
  const std::lock_guard lock{broken_mutex_};
  if (broken_.empty()) broken_ = reason;
  throw StoreError{StoreErrorKind::broken, broken_};
}

void Journal::expect_unbroken() const {
  const std::lock_guard lock{broken_mutex_};
  if (!broken_.empty()) throw StoreError{StoreErrorKind::broken, broken_};
}

void Journal::insert(const JournalRecord& record) {
  const ledger::Entry& entry = record.entry;
  const Rewind rewind{insert_entry_};
  // The parameters are the columns, counted from 1.
  insert_entry_.bind(1 + sequence, to_integer(record.sequence));
  insert_entry_.bind(1 + previous_sequence, to_integer(record.previous_sequence));
  insert_entry_.bindNoCopy(1 + install_id, record.install_id);
  insert_entry_.bind(1 + version, to_integer(entry.version));
  insert_entry_.bind(1 + at_ms, to_integer(entry.at));
  insert_entry_.bind(1 + kind, stored_kind(entry));
  insert_entry_.bindNoCopy(1 + tier, entry.tier);
  entry.backend ? insert_entry_.bind(1 + backend, static_cast<int>(*entry.backend))
                : insert_entry_.bind(1 + backend);
  insert_entry_.bind(1 + credits, entry.credits);
  insert_entry_.bind(1 + counter, static_cast<int>(entry.counter));
  insert_entry_.bind(1 + month, to_number(entry.month));
  bind_optional(insert_entry_, 1 + idempotency_key, entry.idempotency_key);
  bind_optional(insert_entry_, 1 + reservation_id, entry.reservation_id);
  insert_entry_.bindNoCopy(1 + mutation_id, &entry.mutation_id, mutation_id_bytes);
  entry.expires_at ? insert_entry_.bind(1 + expires_at_ms, to_integer(*entry.expires_at))
                   : insert_entry_.bind(1 + expires_at_ms);
  bind_receipt(insert_entry_, entry.receipt);
  bind_hash(insert_entry_, 1 + hash, record.hash);
  insert_entry_.exec();
  if (!entry.imported) return;
  const Rewind rewind_import{insert_import_};
  const ledger::ImportedCounters& imported = *entry.imported;
  SQLite::bind(insert_import_, to_integer(record.sequence), imported.lifetime_consumed,
               imported.lifetime_gemini_consumed, imported.monthly_consumed,
               imported.monthly_gemini_consumed, to_integer(imported.last_active_at));
  insert_import_.exec();
}

std::uint64_t Journal::pruned_sequence() {
  return on_file(path_, [this] { return read_pruned_sequence(pruning_reader_); });
}

Pruned Journal::prune(std::uint64_t after, std::size_t limit, const JudgeRecord& judge,
                      const ReportDamaged& report_damaged) {
  std::unordered_map<std::string, StoredRow> baselines;
  std::unordered_set<std::string> damaged;
  std::unordered_set<std::string> folded;
  std::vector<Range> pruned;
  std::uint64_t last = after;
  std::size_t visited = 0;
  const auto fate_of = [&](const JournalRecord& record) {
    if (damaged.contains(record.install_id)) return Fate::stays;
    auto found = baselines.find(record.install_id);
    if (found == baselines.end()) {
      found = baselines.emplace(record.install_id, baseline_of(record.install_id)).first;
    }
    const bool may_go = is_oldest(record, found->second);
    const Fate fate = judge(record);
    if (fate != Fate::goes || !may_go) return fate == Fate::ends ? fate : Fate::stays;
    fold(record, found->second);
    folded.insert(record.install_id);
    const bool is_next = !pruned.empty() && pruned.back().second == last;
    if (!is_next) pruned.emplace_back(record.sequence, record.sequence);
    pruned.back().second = record.sequence;
    return fate;
  };
  on_file(path_, [&] {
    visit_records(pruning_reader_, after, [&](const JournalRecord& record) {
      if (visited == limit) return false;
      try {
        if (fate_of(record) == Fate::ends) return false;
      } catch (const StoreError& error) {
        if (error.kind() != StoreErrorKind::damaged) throw;
        damaged.insert(record.install_id);
        report_damaged(record.install_id, error);
      }
      last = record.sequence;
      ++visited;
      return true;
    });
  });
  std::erase_if(baselines, [&](const auto& one) { return !folded.contains(one.first); });
  if (!pruned.empty()) {
    write_pruned(baselines, pruned, std::max(pruned.back().second, pruned_sequence()));
  }
  return {last, visited == limit};
}

void Journal::write_pruned(const std::unordered_map<std::string, StoredRow>& baselines,
                           const std::vector<Range>& pruned, std::uint64_t last_pruned) {
  write([&] {
    SQLite::Statement upsert{writer_, sql::upsert_baseline};
    for (const auto& [id, baseline] : baselines) {
      const Rewind rewind{upsert};
      bind_row(upsert, baseline);
      upsert.exec();
    }
    for (const char* statement : {sql::delete_imports, sql::delete_entries}) {
      SQLite::Statement remove{writer_, statement};
      for (const auto& [first, last] : pruned) {
        const Rewind rewind{remove};
        SQLite::bind(remove, to_integer(first), to_integer(last));
        remove.exec();
      }
    }
    SQLite::Statement update{writer_, sql::update_pruned_sequence};
    update.bind(1, to_integer(last_pruned));
    update.exec();
  });
}

void Journal::throw_damaged(const JournalRecord& record, const std::string& what) const {
  throw to_damaged_error(path_, install_in_words(record.install_id),
                         "entry " + std::to_string(record.sequence) + ", version " +
                             std::to_string(record.entry.version) + ": " + what);
}

std::optional<Journal::Kept> Journal::kept(const std::string& id, std::uint64_t wanted) {
  SQLite::Statement select{pruning_reader_, sql::select_kept};
  SQLite::bind(select, to_integer(wanted), id);
  if (!select.executeStep()) return std::nullopt;
  return Kept{read_hash(select.getColumn(0))};
}

bool Journal::is_oldest(const JournalRecord& record, const StoredRow& baseline) {
  const bool follows_baseline = record.previous_sequence == baseline.last_sequence;
  const auto before = follows_baseline ? std::optional{Kept{baseline.hash}}
                                       : kept(record.install_id, record.previous_sequence);
  if (!before) throw_damaged(record, "it does not follow the entry before it");
  if (!pruning_hasher_.fits(record.hash, before->hash, record.install_id, record.entry)) {
    throw_damaged(record, "its hash is not that of its content");
  }
  return follows_baseline;
}

void Journal::fold(const JournalRecord& record, StoredRow& baseline) {
  try {
    ledger::apply(baseline.row, record.entry);
    baseline.last_sequence = record.sequence;
    baseline.hash = record.hash;
  } catch (const std::invalid_argument& error) {
    throw_damaged(record, error.what());
  }
}

StoredRow Journal::baseline_of(const std::string& id) {
  SQLite::Statement select{pruning_reader_, sql::select_baseline};
  select.bindNoCopy(1, id);
  if (select.executeStep()) return read_row(select, path_);
  StoredRow none;
  none.row.install_id = id;
  return none;
}

}  // namespace credits::persistence
