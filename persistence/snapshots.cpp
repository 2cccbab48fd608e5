#include "persistence/snapshots.hpp"

#include <SQLiteCpp/VariadicBind.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "persistence/row_codec.hpp"
#include "persistence/sql.hpp"
#include "persistence/sqlite_file.hpp"

namespace credits::persistence {

namespace {

// Ids are printable ASCII without space, so these are the least and the greatest byte that can
// follow one.
constexpr const char* least_byte = "!";
constexpr const char* beyond_every_byte = "\x7f";

enum Column : int {
  install_id,
  tier_snapshot,
  lifetime_consumed,
  lifetime_gemini_consumed,
  month,
  monthly_consumed,
  monthly_gemini_consumed,
  last_active_at_ms,
  version,
  last_sequence,
  holds,
  checksum,
};

StoredRow read_columns(SQLite::Statement& from) {
  const auto integer = [&from](Column column) { return from.getColumn(column).getInt64(); };
  StoredRow stored;
  ledger::Row& row = stored.row;
  row.install_id = from.getColumn(install_id).getString();
  row.tier_snapshot = from.getColumn(tier_snapshot).getString();
  row.lifetime_consumed = integer(lifetime_consumed);
  row.lifetime_gemini_consumed = integer(lifetime_gemini_consumed);
  row.month = to_month(integer(month));
  row.monthly_consumed = integer(monthly_consumed);
  row.monthly_gemini_consumed = integer(monthly_gemini_consumed);
  row.last_active_at = ledger::Time{std::chrono::milliseconds{integer(last_active_at_ms)}};
  row.version = static_cast<std::uint64_t>(integer(version));
  stored.last_sequence = static_cast<std::uint64_t>(integer(last_sequence));
  decode_holds(from.getColumn(holds).getString(), row);
  return stored;
}

[[noreturn]] void refuse(const std::filesystem::path& path, const std::string& id) {
  throw StoreError{path.string() + ": the row of install \"" + id +
                   "\" does not match its checksum; restore the ledger from a backup"};
}

StoredRow read_row(SQLite::Statement& from, const std::filesystem::path& path) {
  const std::string id = from.getColumn(install_id).getString();
  try {
    StoredRow stored = read_columns(from);
    const auto expected = static_cast<std::uint64_t>(from.getColumn(checksum).getInt64());
    if (checksum_of(stored.row, stored.last_sequence) == expected) return stored;
  } catch (const std::out_of_range&) {
    // its holds are not what was written
  }
  refuse(path, id);
}

class SqliteCursor : public RowCursor {
 public:
  explicit SqliteCursor(const std::filesystem::path& path)
      : path_{path}, database_{open_reader(path)}, select_{database_, sql::select_all_rows} {
    has_row_ = select_.executeStep();  // from here on, the file stands still for this connection
  }

  std::optional<ledger::Row> next() override {
    if (!has_row_) return std::nullopt;
    return on_file(path_, [this] {
      std::optional<ledger::Row> row = read_row(select_, path_).row;
      has_row_ = select_.executeStep();
      return row;
    });
  }

 private:
  const std::filesystem::path path_;
  SQLite::Database database_;
  SQLite::Statement select_;
  bool has_row_ = false;
};

}  // namespace

SnapshotReader::SnapshotReader(const std::filesystem::path& path)
    : path_{path},
      database_{open_reader(path)},
      select_row_{database_, sql::select_row},
      select_page_{database_, sql::select_page} {}

std::optional<StoredRow> SnapshotReader::load(const std::string& id) {
  const std::lock_guard lock{mutex_};
  return on_file(path_, [&]() -> std::optional<StoredRow> {
    const Rewind rewind{select_row_};
    select_row_.bindNoCopy(1, id);
    if (!select_row_.executeStep()) return std::nullopt;
    return read_row(select_row_, path_);
  });
}

std::vector<ledger::Row> SnapshotReader::list(const ListQuery& query) {
  const std::lock_guard lock{mutex_};
  return on_file(path_, [&] {
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

SnapshotWriter::SnapshotWriter(const std::filesystem::path& path, const std::string& ledger_id)
    : path_{path},
      database_{open_writer(path, sql::snapshots_schema, ledger_id)},
      upsert_row_{database_, sql::upsert_row},
      update_progress_{database_, sql::update_progress} {
  // The file is whole after a power cut, if perhaps a little older: the journal has the rest.
  database_.exec("PRAGMA synchronous = NORMAL");
  database_.exec("PRAGMA wal_autocheckpoint = 4096");
}

std::string SnapshotWriter::ledger_id() {
  return on_file(path_, [this] { return read_ledger_id(database_); });
}

Progress SnapshotWriter::progress() {
  return on_file(path_, [this] {
    SQLite::Statement select{database_, sql::select_progress};
    if (!select.executeStep()) throw StoreError{path_.string() + " does not say how far it is"};
    return Progress{static_cast<std::uint64_t>(select.getColumn(0).getInt64()),
                    static_cast<std::uint64_t>(select.getColumn(1).getInt64())};
  });
}

void SnapshotWriter::write(const std::vector<const StoredRow*>& rows, const Progress& progress) {
  on_file(path_, [&] {
    SQLite::Transaction transaction{database_};
    for (const StoredRow* stored : rows) {
      const ledger::Row& row = stored->row;
      const std::string row_holds = encode_holds(row);
      const Rewind rewind{upsert_row_};
      upsert_row_.bindNoCopy(1 + install_id, row.install_id);
      upsert_row_.bindNoCopy(1 + tier_snapshot, row.tier_snapshot);
      upsert_row_.bind(1 + lifetime_consumed, row.lifetime_consumed);
      upsert_row_.bind(1 + lifetime_gemini_consumed, row.lifetime_gemini_consumed);
      upsert_row_.bind(1 + month, to_number(row.month));
      upsert_row_.bind(1 + monthly_consumed, row.monthly_consumed);
      upsert_row_.bind(1 + monthly_gemini_consumed, row.monthly_gemini_consumed);
      upsert_row_.bind(1 + last_active_at_ms,
                       std::int64_t{row.last_active_at.time_since_epoch().count()});
      upsert_row_.bind(1 + version, static_cast<std::int64_t>(row.version));
      upsert_row_.bind(1 + last_sequence, static_cast<std::int64_t>(stored->last_sequence));
      row_holds.empty()
          ? upsert_row_.bind(1 + holds)
          : upsert_row_.bindNoCopy(1 + holds, row_holds.data(), static_cast<int>(row_holds.size()));
      upsert_row_.bind(1 + checksum,
                       static_cast<std::int64_t>(checksum_of(row, stored->last_sequence)));
      upsert_row_.exec();
    }
    const Rewind rewind{update_progress_};
    SQLite::bind(update_progress_, static_cast<std::int64_t>(progress.sequence),
                 static_cast<std::int64_t>(progress.installs));
    update_progress_.exec();
    transaction.commit();
  });
}

std::unique_ptr<RowCursor> open_cursor(const std::filesystem::path& path) {
  return on_file(path, [&] { return std::make_unique<SqliteCursor>(path); });
}

}  // namespace credits::persistence
