#include "persistence/postgres/columns.hpp"

#include <algorithm>
#include <stdexcept>

#include "actors/ledger/rules.hpp"
#include "persistence/encoder.hpp"
#include "persistence/holds.hpp"
#include "persistence/stored_kind.hpp"

namespace credits::persistence::postgres {

namespace {

using Array = Parameters::Array;

ledger::Time to_time(std::int64_t milliseconds) {
  return ledger::Time{std::chrono::milliseconds{milliseconds}};
}

std::string_view bytes_of(const Hash& hash) {
  return {reinterpret_cast<const char*>(hash.data()), hash.size()};
}

[[noreturn]] void throw_damaged(const std::string& what, const std::string& install_id) {
  throw StoreError{StoreErrorKind::damaged,
                   "PostgreSQL has damaged " + what + " of install \"" + install_id +
                       "\"; creditsctl check reports more, restore the ledger from a backup"};
}

std::string encode_imported(const ledger::ImportedCounters& imported) {
  Encoder out;
  out.integer(imported.lifetime_consumed);
  out.integer(imported.lifetime_gemini_consumed);
  out.integer(imported.monthly_consumed);
  out.integer(imported.monthly_gemini_consumed);
  out.time(imported.last_active_at);
  return out.result();
}

ledger::ImportedCounters decode_imported(std::string_view bytes) {
  Decoder in{bytes};
  ledger::ImportedCounters imported;
  imported.lifetime_consumed = in.integer();
  imported.lifetime_gemini_consumed = in.integer();
  imported.monthly_consumed = in.integer();
  imported.monthly_gemini_consumed = in.integer();
  imported.last_active_at = in.time();
  in.expect_end();
  return imported;
}

std::string encode_mutation_id(const ledger::MutationId& id) {
  Encoder out;
  out.integer(id.high);
  out.integer(id.low);
  return out.result();
}

ledger::MutationId decode_mutation_id(std::string_view bytes) {
  Decoder in{bytes};
  const std::uint64_t high = in.unsigned_integer();
  return {high, in.unsigned_integer()};
}

// SQLite's rows have a checksum. Nothing guards these against an UPDATE by hand.
void check(const ledger::Row& row, std::int64_t version) {
  if (version < 1) throw_damaged("the version", row.install_id);
  if (std::min({row.lifetime_consumed, row.lifetime_gemini_consumed, row.monthly_consumed,
                row.monthly_gemini_consumed}) < 0) {
    throw_damaged("the counters", row.install_id);
  }
}

}  // namespace

std::int64_t to_ms(ledger::Time time) { return time.time_since_epoch().count(); }

std::optional<Hash> to_hash(const Result& result, int row, int column) {
  Hash hash;
  const std::string_view bytes = result.bytes(row, column);
  if (bytes.size() != hash.size()) return std::nullopt;
  std::copy(bytes.begin(), bytes.end(), reinterpret_cast<char*>(hash.data()));
  return hash;
}

void RowArrays::add(const ledger::Row& row, const std::optional<Hash>& hash) {
  add_but_hash(row);
  hash ? hashes_.add(bytes_of(*hash)) : hashes_.add_null();
}

void RowArrays::add_guarded(const ledger::Row& row, const Hash& hash,
                            const std::optional<Hash>& replaced) {
  add_but_hash(row);
  std::string hashes{bytes_of(hash)};
  if (replaced) hashes += bytes_of(*replaced);
  hashes_.add(std::string_view{hashes});
}

void RowArrays::add_but_hash(const ledger::Row& row) {
  ids_.add(row.install_id);
  tiers_.add(row.tier_snapshot);
  lifetimes_.add(row.lifetime_consumed);
  lifetimes_gemini_.add(row.lifetime_gemini_consumed);
  months_.add(to_number(row.month));
  monthlies_.add(row.monthly_consumed);
  monthlies_gemini_.add(row.monthly_gemini_consumed);
  last_active_.add(to_ms(row.last_active_at));
  versions_.add(static_cast<std::int64_t>(row.version));
  const std::string holds = encode_holds(row);
  holds.empty() ? holds_.add_null() : holds_.add(std::string_view{holds});
}

void RowArrays::add_to(Parameters& parameters) const {
  for (const Array* array : {&ids_, &tiers_, &lifetimes_, &lifetimes_gemini_, &months_, &monthlies_,
                             &monthlies_gemini_, &last_active_, &versions_, &holds_, &hashes_}) {
    parameters.add(*array);
  }
}

ChainedRow read_row(const Result& result, int at) {
  int column = 0;
  ChainedRow stored;
  ledger::Row& row = stored.row;
  row.install_id = result.text(at, column++);
  row.tier_snapshot = result.text(at, column++);
  row.lifetime_consumed = result.integer(at, column++);
  row.lifetime_gemini_consumed = result.integer(at, column++);
  row.month = to_month(result.integer(at, column++));
  row.monthly_consumed = result.integer(at, column++);
  row.monthly_gemini_consumed = result.integer(at, column++);
  row.last_active_at = to_time(result.integer(at, column++));
  const std::int64_t version = result.integer(at, column++);
  check(row, version);
  row.version = static_cast<std::uint64_t>(version);
  try {
    decode_holds(result.bytes(at, column++), row);
  } catch (const std::out_of_range&) {
    throw_damaged("the reservations", row.install_id);
  }
  ledger::bound_counters(row);
  stored.hash = to_hash(result, at, column);
  if (!stored.hash && !result.is_null(at, column)) throw_damaged("the hash", row.install_id);
  return stored;
}

std::vector<ledger::Row> read_rows(const Result& result) {
  std::vector<ledger::Row> rows;
  for (int at = 0; at < result.rows(); ++at) rows.push_back(read_row(result, at).row);
  return rows;
}

void EntryArrays::add(const std::string& install_id, const ledger::Entry& entry,
                      const std::optional<Hash>& hash) {
  ids_.add(install_id);
  versions_.add(static_cast<std::int64_t>(entry.version));
  times_.add(to_ms(entry.at));
  kinds_.add(stored_kind(entry));
  tiers_.add(entry.tier);
  entry.backend ? backends_.add(static_cast<std::int64_t>(*entry.backend)) : backends_.add_null();
  credits_.add(entry.credits);
  counters_.add(static_cast<std::int64_t>(entry.counter));
  months_.add(to_number(entry.month));
  keys_.add(entry.idempotency_key);
  reservations_.add(entry.reservation_id);
  entry.expires_at ? expiries_.add(to_ms(*entry.expires_at)) : expiries_.add_null();
  entry.imported ? imported_.add(std::string_view{encode_imported(*entry.imported)})
                 : imported_.add_null();
  entry.receipt ? requests_.add(entry.receipt->request) : requests_.add_null();
  entry.receipt ? statuses_.add(std::int64_t{entry.receipt->status}) : statuses_.add_null();
  entry.receipt ? answers_.add(entry.receipt->body) : answers_.add_null();
  mutation_ids_.add(std::string_view{encode_mutation_id(entry.mutation_id)});
  hash ? hashes_.add(bytes_of(*hash)) : hashes_.add_null();
}

void EntryArrays::add_to(Parameters& parameters) const {
  for (const Array* array : {&ids_, &versions_, &times_, &kinds_, &tiers_, &backends_, &credits_,
                             &counters_, &months_, &keys_, &reservations_, &expiries_, &imported_,
                             &requests_, &statuses_, &answers_, &mutation_ids_, &hashes_}) {
    parameters.add(*array);
  }
}

ChainedEntry read_entry(const Result& result, int at) {
  const auto integer = [&result](int row, int column) { return result.integer(row, column); };
  const auto text = [&result](int row, int column) { return result.text(row, column); };
  int column = 0;
  ChainedEntry stored;
  ledger::Entry& entry = stored.entry;
  stored.install_id = text(at, column++);
  entry.version = static_cast<std::uint64_t>(integer(at, column++));
  entry.at = to_time(integer(at, column++));
  set_stored_kind(entry, integer(at, column++));
  entry.tier = text(at, column++);
  if (const auto backend = result.optional(at, column++, integer)) {
    entry.backend = static_cast<ledger::Backend>(*backend);
  }
  entry.credits = integer(at, column++);
  entry.counter = static_cast<ledger::Counter>(integer(at, column++));
  entry.month = to_month(integer(at, column++));
  entry.idempotency_key = result.optional(at, column++, text);
  entry.reservation_id = result.optional(at, column++, text);
  if (const auto expires_at = result.optional(at, column++, integer)) {
    entry.expires_at = to_time(*expires_at);
  }
  const auto imported = result.optional(at, column++, text);
  auto request = result.optional(at, column++, text);
  const auto status = result.optional(at, column++, integer);
  auto answer = result.optional(at, column++, text);
  if (request) {
    entry.receipt = {*std::move(request), static_cast<std::int32_t>(status.value_or(0)),
                     std::move(answer).value_or("")};
  }
  try {
    if (imported) entry.imported = decode_imported(*imported);
    entry.mutation_id = decode_mutation_id(result.bytes(at, column++));
  } catch (const std::out_of_range&) {
    throw_damaged("an entry", stored.install_id);
  }
  stored.hash = to_hash(result, at, column++);
  stored.hash_before = to_hash(result, at, column++);
  stored.columns = column;
  return stored;
}

ChainedEntry read_whole_entry(const Result& result, int at, Hasher& hasher) {
  ChainedEntry stored = read_entry(result, at);
  if (!hasher.fits(stored.hash, stored.hash_before, stored.install_id, stored.entry)) {
    throw_damaged("entry " + std::to_string(stored.entry.version), stored.install_id);
  }
  return stored;
}

void ReplayKeyArrays::add(const std::string& install_id, const ledger::Entry& entry) {
  for (ledger::ReplayKey& key : ledger::replay_keys_of(entry)) {
    newest_[{install_id, static_cast<int>(key.kind), std::move(key.text)}] = {
        static_cast<std::int64_t>(entry.version), to_ms(entry.at)};
  }
}

void ReplayKeyArrays::add_to(Parameters& parameters) const {
  Array ids = Array::of_texts();
  Array kinds = Array::of_integers();
  Array replay_keys = Array::of_texts();
  Array versions = Array::of_integers();
  Array times = Array::of_integers();
  for (const auto& [key, found] : newest_) {
    ids.add(std::get<0>(key));
    kinds.add(std::int64_t{std::get<1>(key)});
    replay_keys.add(std::get<2>(key));
    versions.add(found.first);
    times.add(found.second);
  }
  for (const Array* array : {&ids, &kinds, &replay_keys, &versions, &times}) parameters.add(*array);
}

Array texts_of(std::span<const std::string> texts) {
  Array array = Array::of_texts();
  for (const std::string& text : texts) array.add(text);
  return array;
}

}  // namespace credits::persistence::postgres
