#include "persistence/sqlite/row_table.hpp"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <string>
#include <string_view>

#include "actors/ledger/rules.hpp"
#include "persistence/holds.hpp"
#include "persistence/store.hpp"

namespace credits::persistence {

namespace {

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
  hash,
};

std::int64_t checksum_of(const StoredRow& stored, std::string_view row_holds) {
  const ledger::Row& row = stored.row;
  Encoder out;
  out.text(row.install_id);
  out.text(row.tier_snapshot);
  out.integer(row.lifetime_consumed);
  out.integer(row.lifetime_gemini_consumed);
  out.month(row.month);
  out.integer(row.monthly_consumed);
  out.integer(row.monthly_gemini_consumed);
  out.time(row.last_active_at);
  out.integer(row.version);
  out.integer(stored.last_sequence);
  out.text(row_holds);
  // Rows of schema version 1 have no hash, and their checksum does not cover one.
  if (stored.hash) {
    out.bytes({reinterpret_cast<const char*>(stored.hash->data()), stored.hash->size()});
  }
  return static_cast<std::int64_t>(XXH3_64bits(out.result().data(), out.result().size()));
}

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
  stored.hash = read_hash(from.getColumn(hash));
  return stored;
}

[[noreturn]] void refuse(const std::filesystem::path& path, const ledger::Row& row) {
  throw StoreError{StoreErrorKind::damaged,
                   path.string() + ": the row of install \"" + row.install_id + "\", version " +
                       std::to_string(row.version) +
                       ", does not match its checksum; creditsctl check reports more, restore the "
                       "ledger from a backup"};
}

}  // namespace

void bind_row(SQLite::Statement& upsert, const StoredRow& stored) {
  const ledger::Row& row = stored.row;
  const std::string row_holds = encode_holds(row);
  upsert.bindNoCopy(1 + install_id, row.install_id);
  upsert.bindNoCopy(1 + tier_snapshot, row.tier_snapshot);
  upsert.bind(1 + lifetime_consumed, row.lifetime_consumed);
  upsert.bind(1 + lifetime_gemini_consumed, row.lifetime_gemini_consumed);
  upsert.bind(1 + month, to_number(row.month));
  upsert.bind(1 + monthly_consumed, row.monthly_consumed);
  upsert.bind(1 + monthly_gemini_consumed, row.monthly_gemini_consumed);
  upsert.bind(1 + last_active_at_ms, std::int64_t{row.last_active_at.time_since_epoch().count()});
  upsert.bind(1 + version, static_cast<std::int64_t>(row.version));
  upsert.bind(1 + last_sequence, static_cast<std::int64_t>(stored.last_sequence));
  row_holds.empty() ? upsert.bind(1 + holds)
                    : upsert.bind(1 + holds, row_holds.data(), static_cast<int>(row_holds.size()));
  upsert.bind(1 + checksum, checksum_of(stored, row_holds));
  bind_hash(upsert, 1 + hash, stored.hash);
}

StoredRow read_row(SQLite::Statement& from, const std::filesystem::path& path) {
  const std::string row_holds = from.getColumn(holds).getString();
  StoredRow stored = read_columns(from);
  if (checksum_of(stored, row_holds) != from.getColumn(checksum).getInt64())
    refuse(path, stored.row);
  try {
    decode_holds(row_holds, stored.row);
  } catch (const std::out_of_range&) {
    refuse(path, stored.row);
  }
  ledger::bound_counters(stored.row);
  return stored;
}

void bind_hash(SQLite::Statement& statement, int index, const std::optional<Hash>& value) {
  value ? statement.bindNoCopy(index, value->data(), static_cast<int>(value->size()))
        : statement.bind(index);
}

std::optional<Hash> read_hash(const SQLite::Column& column) {
  Hash value;
  if (column.getBytes() != static_cast<int>(value.size())) return std::nullopt;
  const auto* bytes = static_cast<const std::uint8_t*>(column.getBlob());
  std::copy(bytes, bytes + value.size(), value.begin());
  return value;
}

}  // namespace credits::persistence
