// Converts rows, entries and names to arrays for a statement's columns, and reads them from a
// result. The order of the columns is that of the tables in sql.hpp.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "actors/ledger/entry.hpp"
#include "actors/ledger/row.hpp"
#include "persistence/chain.hpp"
#include "persistence/postgres/connection.hpp"

namespace credits::persistence::postgres {

std::int64_t to_ms(ledger::Time time);

// A row with the hash of its newest entry.
struct ChainedRow {
  ledger::Row row;
  std::optional<Hash> hash{};
};

class RowArrays {
 public:
  void add(const ledger::Row& row, const std::optional<Hash>& hash);
  // For the statement `append`, whose guard also needs the replaced hash.
  void add_guarded(const ledger::Row& row, const Hash& hash, const std::optional<Hash>& replaced);
  void add_to(Parameters& parameters) const;

 private:
  void add_but_hash(const ledger::Row& row);

  Parameters::Array ids_ = Parameters::Array::of_texts();
  Parameters::Array tiers_ = Parameters::Array::of_texts();
  Parameters::Array lifetimes_ = Parameters::Array::of_integers();
  Parameters::Array lifetimes_gemini_ = Parameters::Array::of_integers();
  Parameters::Array months_ = Parameters::Array::of_integers();
  Parameters::Array monthlies_ = Parameters::Array::of_integers();
  Parameters::Array monthlies_gemini_ = Parameters::Array::of_integers();
  Parameters::Array last_active_ = Parameters::Array::of_integers();
  Parameters::Array versions_ = Parameters::Array::of_integers();
  Parameters::Array holds_ = Parameters::Array::of_bytes();
  Parameters::Array hashes_ = Parameters::Array::of_bytes();
};

// Throws StoreError if a value is damaged.
ChainedRow read_row(const Result& result, int at);
std::vector<ledger::Row> read_rows(const Result& result);

class EntryArrays {
 public:
  void add(const std::string& install_id, const ledger::Entry& entry,
           const std::optional<Hash>& hash);
  void add_to(Parameters& parameters) const;

 private:
  Parameters::Array ids_ = Parameters::Array::of_texts();
  Parameters::Array versions_ = Parameters::Array::of_integers();
  Parameters::Array times_ = Parameters::Array::of_integers();
  Parameters::Array kinds_ = Parameters::Array::of_integers();
  Parameters::Array tiers_ = Parameters::Array::of_texts();
  Parameters::Array backends_ = Parameters::Array::of_integers();
  Parameters::Array credits_ = Parameters::Array::of_integers();
  Parameters::Array counters_ = Parameters::Array::of_integers();
  Parameters::Array months_ = Parameters::Array::of_integers();
  Parameters::Array keys_ = Parameters::Array::of_texts();
  Parameters::Array reservations_ = Parameters::Array::of_texts();
  Parameters::Array expiries_ = Parameters::Array::of_integers();
  Parameters::Array imported_ = Parameters::Array::of_bytes();
  Parameters::Array requests_ = Parameters::Array::of_texts();
  Parameters::Array statuses_ = Parameters::Array::of_integers();
  Parameters::Array answers_ = Parameters::Array::of_texts();
  Parameters::Array mutation_ids_ = Parameters::Array::of_bytes();
  Parameters::Array hashes_ = Parameters::Array::of_bytes();
};

// If two entries of an install have the same name, the newer one counts.
class ReplayKeyArrays {
 public:
  void add(const std::string& install_id, const ledger::Entry& entry);
  void add_to(Parameters& parameters) const;

 private:
  std::map<std::tuple<std::string, int, std::string>, std::pair<std::int64_t, std::int64_t>>
      newest_;
};

// An entry with its hash and that of the entry before.
struct ChainedEntry {
  std::string install_id;
  ledger::Entry entry;
  std::optional<Hash> hash{};
  std::optional<Hash> hash_before{};
  int columns = 0;  // number of columns read
};

// Throws StoreError if a value is damaged.
ChainedEntry read_entry(const Result& result, int at);

// The same as read_entry(), and compares the entry with its hash.
ChainedEntry read_whole_entry(const Result& result, int at, Hasher& hasher);

Parameters::Array texts_of(std::span<const std::string> texts);

std::optional<Hash> to_hash(const Result& result, int row, int column);

}  // namespace credits::persistence::postgres
