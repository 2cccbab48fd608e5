#include "persistence/postgres/store.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <iterator>
#include <map>
#include <stdexcept>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "actors/base/text.hpp"
#include "actors/ledger/rules.hpp"
#include "persistence/chain.hpp"
#include "persistence/postgres/columns.hpp"
#include "persistence/postgres/connection.hpp"
#include "persistence/postgres/pool.hpp"
#include "persistence/postgres/refusal.hpp"
#include "persistence/postgres/schema.hpp"
#include "persistence/postgres/server.hpp"
#include "persistence/postgres/sql.hpp"
#include "persistence/valid_text.hpp"

namespace credits::persistence {

namespace {

using postgres::ChainedEntry;
using postgres::ChainedRow;
using postgres::Connection;
using postgres::EntryArrays;
using postgres::Parameters;
using postgres::Pool;
using postgres::ReplayKeyArrays;
using postgres::Result;
using postgres::RowArrays;
using postgres::StatementError;
using postgres::texts_of;
using postgres::to_hash;
using postgres::to_ms;
using Array = Parameters::Array;

// The numbers of names and entries that one call of prune() looks at.
constexpr std::int64_t forgotten_at_once = 20'000;
constexpr std::int64_t pruned_at_once = 2'000;

constexpr std::size_t installs_in_a_statement = 8'192;
constexpr int tries_max = 5;  // of a statement that collided with another transaction

// An install whose row was held counts as held for this long, unless a check finds it free: a batch
// checks before it writes, instead of waiting for held rows.
constexpr std::chrono::seconds held_for{60};
constexpr std::chrono::seconds new_held_for{
    1};  // an install that is being created cannot be checked

// How long an append continues to divide its batch.
constexpr std::chrono::seconds dividing_max{8};

// SQLSTATEs of statements that had no effect because of some of their installs.
constexpr std::string_view lock_not_available = "55P03";
constexpr std::string_view query_canceled = "57014";                  // by statement_timeout
constexpr std::string_view division_by_zero = "22012";                // a row is gone
constexpr std::string_view invalid_argument_for_logarithm = "2201E";  // the schema is newer

bool is_damage(std::string_view code) { return code == "XX001" || code == "XX002"; }

// The server cannot accept or read a value, of the call or of the rows that it needs. The server
// itself works.
bool is_data_exception(std::string_view code) { return code.starts_with("22"); }

// Whether the server cannot accept or read the values or rows of some install.
bool is_of_one_install(std::string_view code) {
  const bool is_ours = code == division_by_zero || code == invalid_argument_for_logarithm;
  return !is_ours && (code.starts_with("22") || code.starts_with("23") || code.starts_with("54") ||
                      is_damage(code));
}

// The mutations of one install in a batch, merged.
struct Merged {
  Stamp follows;
  std::vector<std::size_t> places;  // of the mutations
  std::vector<Stamp> stamps;        // after each of them
  std::vector<Hash> hashes;         // of all their entries
  bool is_written = false;          // by a statement that may not be committed yet
  Outcome outcome = Outcome::unknown;

  bool is_new() const { return follows.version == 0; }
  const Stamp& newest() const { return stamps.empty() ? follows : stamps.back(); }
};

Stamp stamp_of(const ChainedRow& stored) { return {stored.row.version, stored.hash}; }

class PostgresCursor : public RowCursor {
 public:
  explicit PostgresCursor(std::unique_ptr<Connection> connection)
      : connection_{std::move(connection)} {
    connection_->set_deadline(page_within);
    connection_->run_script(postgres::sql::begin_snapshot);
    connection_->run_script(postgres::sql::select_all_rows);
  }

  std::optional<ledger::Row> next() override {
    if (at_ == rows_.size() && !is_at_end_) {
      rows_ = postgres::read_rows(connection_->run(postgres::sql::fetch_rows));
      is_at_end_ = rows_.empty();
      at_ = 0;
    }
    return at_ < rows_.size() ? std::optional{std::move(rows_[at_++])} : std::nullopt;
  }

 private:
  static constexpr std::chrono::seconds page_within{30};

  const std::unique_ptr<Connection> connection_;
  std::vector<ledger::Row> rows_;
  std::size_t at_ = 0;
  bool is_at_end_ = false;
};

class PostgresStore : public Store {
 public:
  PostgresStore(const std::string& uri, const PostgresOptions& options)
      : report_{options.report}, pool_{uri, postgres::sql::set_up, options.report} {
    pool_.with([&](Connection& connection) {
      postgres::check_server(connection, options.report);
      postgres::make_schema(connection, options.report);
      count_installs(connection);
    });
  }

  std::vector<StampedRow> load(std::span<const std::string> ids) override {
    std::vector<StampedRow> rows;
    read([&](Connection& connection) { rows = rows_of(connection, ids); });
    return rows;
  }

  std::vector<StampedRow> peek(std::span<const std::string> ids) override {
    std::vector<StampedRow> rows;
    read_newest([&](Connection& connection) { rows = rows_of(connection, ids); });
    return rows;
  }

  std::optional<std::vector<ledger::ReplayKey>> replay_keys(const std::string& install_id,
                                                            std::size_t limit) override {
    std::vector<ledger::ReplayKey> replay_keys;
    read([&](Connection& connection) {
      Parameters parameters;
      parameters.add(std::string_view{install_id});
      parameters.add(static_cast<std::int64_t>(limit) + 1);
      const Result result = connection.run(postgres::sql::select_names, parameters);
      replay_keys.clear();
      for (int at = 0; at < result.rows(); ++at) {
        replay_keys.push_back(
            {static_cast<ledger::ReplayKey::Kind>(result.integer(at, 0)), result.text(at, 1)});
      }
    });
    return replay_keys.size() > limit ? std::nullopt : std::optional{std::move(replay_keys)};
  }

  std::vector<std::optional<ledger::Entry>> recall(
      const std::string& install_id, std::span<const ledger::ReplayKey> replay_keys) override {
    Array kinds = Array::of_integers();
    Array texts = Array::of_texts();
    for (const ledger::ReplayKey& key : replay_keys) {
      kinds.add(static_cast<std::int64_t>(key.kind));
      texts.add(key.text);
    }
    std::vector<std::optional<ledger::Entry>> entries;
    read([&](Connection& connection) {
      Parameters parameters;
      parameters.add(std::string_view{install_id});
      parameters.add(kinds);
      parameters.add(texts);
      const Result result = connection.run(postgres::sql::select_recalled, parameters);
      Hasher hasher;
      entries.assign(replay_keys.size(), std::nullopt);
      for (int at = 0; at < result.rows(); ++at) {
        ChainedEntry stored = postgres::read_whole_entry(result, at, hasher);
        const auto place = static_cast<std::size_t>(result.integer(at, stored.columns)) - 1;
        entries.at(place) = std::move(stored.entry);
      }
    });
    return entries;
  }

  std::vector<Appended> append(std::span<const Mutation> mutations) override {
    auto merged = merge(mutations);
    Installs installs;
    for (auto& [id, install] : merged) installs.emplace_back(&id, &install);
    append_until_ = std::chrono::steady_clock::now() + dividing_max;
    try {
      write(mutations, installs);
    } catch (const StoreError& error) {
      const auto has_outcome = [](const auto& one) {
        return one.second->outcome != Outcome::unknown;
      };
      if (std::none_of(installs.begin(), installs.end(), has_outcome)) throw;
      report("append_in_part", std::string{"a batch was written in part: "} + error.what());
    }
    std::vector<Appended> appended(mutations.size());
    for (const auto& [id, install] : installs) {
      const bool is_stored = install->outcome == Outcome::stored;
      for (std::size_t i = 0; i < install->places.size(); ++i) {
        appended[install->places[i]] = {install->outcome, is_stored ? install->stamps[i] : Stamp{}};
      }
      if (is_stored && install->is_new()) ++installs_;
    }
    ensure_answered(mutations, appended);
    return appended;
  }

  bool import(std::span<const Mutation> mutations) override {
    expect_valid_text(mutations);
    auto merged = merge(mutations);
    Installs installs;
    for (auto& [id, install] : merged) installs.emplace_back(&id, &install);
    const bool was_empty = pool_.with([&](Connection& connection) {
      const Transaction transaction{connection};
      // Checked before taking the lock, for which the writes of all nodes wait.
      if (connection.run(postgres::sql::has_installs).integer(0, 0) != 0) return false;
      connection.run(postgres::sql::lock_installs);
      if (connection.run(postgres::sql::has_installs).integer(0, 0) != 0) return false;
      write_parts(connection, mutations, installs);
      transaction.commit();
      return true;
    });
    if (was_empty) installs_ = merged.size();
    return was_empty;
  }

  std::vector<bool> are_current(std::span<const Seen> seen) override {
    std::vector<std::string> ids;
    for (const Seen& one : seen) ids.push_back(one.install_id);
    const auto newest = read_stamps(ids);
    std::vector<bool> current;
    for (const Seen& one : seen) current.push_back(newest.at(one.install_id) == one.stamp);
    return current;
  }

  bool is_shared() const override { return true; }

  void ping() override {
    read_newest([](Connection& connection) { postgres::read_ledger_id(connection); });
  }

  void probe_write() override {
    pool_.with([](Connection& connection) {
      {
        const Transaction taken_back{connection};
        connection.run(postgres::sql::insert_blank_entries);
      }
      postgres::pass_barrier(connection);
    });
  }

  std::vector<ledger::Row> list(const ListQuery& query) override {
    std::vector<ledger::Row> rows;
    if (query.tier && !base::is_text(*query.tier)) return rows;  // no row has it
    read_newest([&](Connection& connection) {
      Parameters parameters;
      parameters.add(std::string_view{query.after});
      parameters.add(std::string_view{query.prefix});
      parameters.add(query.tier);
      parameters.add(static_cast<std::int64_t>(query.limit));
      rows = postgres::read_rows(connection.run(postgres::sql::select_page, parameters));
    });
    return rows;
  }

  std::vector<ledger::Entry> entries(const std::string& install_id, std::uint64_t before_version,
                                     std::size_t limit) override {
    constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    std::vector<ledger::Entry> entries;
    read_newest([&](Connection& connection) {
      Parameters parameters;
      parameters.add(std::string_view{install_id});
      parameters.add(static_cast<std::int64_t>(std::min(before_version, most)));
      parameters.add(static_cast<std::int64_t>(std::min<std::uint64_t>(limit, most)));
      const Result result = connection.run(postgres::sql::select_entries, parameters);
      Hasher hasher;
      entries.clear();
      for (int at = 0; at < result.rows(); ++at) {
        entries.push_back(postgres::read_whole_entry(result, at, hasher).entry);
      }
    });
    return entries;
  }

  std::unique_ptr<RowCursor> snapshot() override {
    return std::make_unique<PostgresCursor>(pool_.separate());
  }

  void checkpoint() override {}

  bool prune(const Horizon& horizon) override {
    return pool_.with([&](Connection& connection) {
      const bool has_more = prune_part(connection, horizon);
      if (!has_more) count_installs(connection);
      return has_more;
    });
  }

  std::uint64_t installs() override { return installs_; }

  std::uint64_t pending_rows() override { return 0; }
  std::optional<ledger::Time> newest_time() override {
    ledger::Time time;
    read([&time](Connection& connection) {
      time = ledger::Time{
          std::chrono::milliseconds{connection.run_once(postgres::sql::server_time).integer(0, 0)}};
    });
    return time;
  }

  std::string_view engine() const override { return "postgresql"; }

 private:
  // Rolls back unless committed.
  class Transaction {
   public:
    explicit Transaction(Connection& connection) : connection_{connection} {
      connection_.run_script(postgres::sql::begin_durable);
    }
    ~Transaction() {
      if (is_committed_ || connection_.is_broken()) return;
      try {
        connection_.run_script("ROLLBACK");
      } catch (const StoreError&) {
        // The connection is broken now, and the pool gives it up.
      }
    }
    Transaction(const Transaction&) = delete;
    Transaction& operator=(const Transaction&) = delete;

    void commit() const {
      connection_.run_script("COMMIT");
      is_committed_ = true;
    }

   private:
    Connection& connection_;
    mutable bool is_committed_ = false;
  };

  bool prune_part(Connection& connection, const Horizon& horizon) {
    const Transaction transaction{connection};
    if (connection.run(postgres::sql::try_lock_pruning).integer(0, 0) == 0) return false;
    const bool more_replay_keys = forget(connection, horizon.replay_keys_before);
    const bool more_entries = prune(connection, horizon.entries_before);
    transaction.commit();
    return more_replay_keys || more_entries;
  }

  // Other nodes create installs too. Those that this node creates meanwhile may be missing until
  // the next count. A ledger that cannot be counted within the server's statement_timeout is still
  // served.
  void count_installs(Connection& connection) {
    try {
      installs_ =
          static_cast<std::uint64_t>(connection.run(postgres::sql::count_installs).integer(0, 0));
    } catch (const StatementError& error) {
      if (error.code() != query_canceled) throw;
    }
  }

  // Runs `work`, which only reads, and once more if its connection proves lost.
  template <class Work>
  void read(const Work& work) {
    try {
      try {
        pool_.with(work);
      } catch (const postgres::ConnectionError&) {
        pool_.with(work);
      }
    } catch (const StatementError& error) {
      if (!is_damage(error.code()) && !is_data_exception(error.code())) throw;
      throw StoreError{StoreErrorKind::damaged, error.what()};
    }
  }

  void report(std::string_view name, const std::string& text) const {
    if (report_) report_(name, text);
  }

  // The same, from a server that accepts writes: the rows of another may be stale.
  template <class Work>
  void read_newest(const Work& work) {
    read([&](Connection& connection) {
      connection.expect_writable();
      work(connection);
    });
  }

  static std::vector<StampedRow> rows_of(Connection& connection, std::span<const std::string> ids) {
    Parameters parameters;
    parameters.add(texts_of(ids));
    const Result result = connection.run(postgres::sql::select_rows, parameters);
    std::unordered_map<std::string, StampedRow> found;
    for (int at = 0; at < result.rows(); ++at) {
      ChainedRow stored = postgres::read_row(result, at);
      StampedRow& row = found[stored.row.install_id];
      row.stamp = stamp_of(stored);
      row.row = std::move(stored.row);
    }
    std::vector<StampedRow> rows;
    for (const std::string& id : ids) {
      const auto stored = found.find(id);
      rows.push_back(stored == found.end() ? StampedRow{} : stored->second);
    }
    return rows;
  }

  // Merges the mutations of each install, and computes the hashes of their entries.
  std::map<std::string, Merged> merge(std::span<const Mutation> mutations) {
    std::map<std::string, Merged> merged;
    for (std::size_t i = 0; i < mutations.size(); ++i) {
      const auto& [after, entries, follows] = mutations[i];
      const auto [found, is_first] = merged.try_emplace(after.install_id);
      Merged& install = found->second;
      if (is_first) {
        expect_possible(follows);
        install.follows = follows;
      }
      Stamp newest = install.newest();
      expect_gapless(mutations[i], newest.version);
      for (const ledger::Entry& entry : entries) {
        newest = {entry.version, hasher_(newest.hash, after.install_id, entry)};
        install.hashes.push_back(*newest.hash);
      }
      install.places.push_back(i);
      install.stamps.push_back(newest);
      CREDITS_ENSURES(install.hashes.size() == newest.version - install.follows.version);
    }
    return merged;
  }

  // The newest stamp of each install; version 0: there is no such install.
  std::unordered_map<std::string, Stamp> read_stamps(std::span<const std::string> ids) {
    std::unordered_map<std::string, Stamp> stamps;
    read([&](Connection& connection) {
      Parameters parameters;
      parameters.add(texts_of(ids));
      const Result result = connection.run(postgres::sql::select_stamps, parameters);
      stamps.clear();
      for (const std::string& id : ids) stamps[id] = {};
      for (int at = 0; at < result.rows(); ++at) {
        if (result.is_null(at, 0)) connection.expect_writable();
        stamps[result.text(at, 0)] = {static_cast<std::uint64_t>(result.integer(at, 1)),
                                      to_hash(result, at, 2)};
      }
    });
    return stamps;
  }

  using Installs = std::vector<std::pair<const std::string*, Merged*>>;

  // The installs whose outcome is still unknown.
  static Installs undecided(const Installs& installs) {
    Installs open;
    std::copy_if(installs.begin(), installs.end(), std::back_inserter(open),
                 [](const auto& install) { return install.second->outcome == Outcome::unknown; });
    return open;
  }

  // Writes the installs of `all` whose outcomes are unknown, and sets their outcomes. An obstacle
  // to some of them delays the others only until those affected are found. If it throws, some may
  // have been written.
  void write(std::span<const Mutation> mutations, const Installs& all) {
    bool is_held_up = false;
    for (int tried = 1;; ++tried) {
      const Installs installs = undecided(all);
      if (installs.empty()) return;
      expect_time_left();
      const bool looks_first = is_held_up || is_any_held(installs);
      try {
        return looks_first ? write_free(mutations, installs) : write_at_once(mutations, installs);
      } catch (const StatementError& error) {
        if (error.code() == lock_not_available && !looks_first) {
          is_held_up = true;
          continue;
        }
        if (error.code() == invalid_argument_for_logarithm) expect_schema();
        if (error.code() == division_by_zero) return write_existing(mutations, installs);
        if (is_of_one_install(error.code())) return write_apart(mutations, installs, error);
        if (error.code() == query_canceled && installs.size() > 1) {
          return write_halves(mutations, installs);
        }
        if (!error.is_transient() || tried == tries_max) throw;
      } catch (const postgres::NotDoneError&) {
        if (tried == tries_max) throw;
      }
    }
  }

  // Bounds the cost of unforeseen locks and time-outs.
  void expect_time_left() const {
    if (std::chrono::steady_clock::now() < append_until_) return;
    throw StoreError{
        StoreErrorKind::unavailable,
        "PostgreSQL took too long for a batch, which was divided because of time-outs"};
  }

  void expect_schema() {
    pool_.with([](Connection& connection) { postgres::read_ledger_id(connection); });
  }

  void write_at_once(std::span<const Mutation> mutations, const Installs& installs) {
    pool_.with([&](Connection& connection) {
      if (installs.size() <= installs_in_a_statement) {
        return write_part(connection, mutations, installs);
      }
      const Transaction transaction{connection};
      write_parts(connection, mutations, installs);
      transaction.commit();
    });
    note_outcomes(installs);
  }

  static void note_outcomes(const Installs& installs) {
    for (const auto& [id, install] : installs) {
      install->outcome = install->is_written ? Outcome::stored : Outcome::conflict;
    }
  }

  void write_halves(std::span<const Mutation> mutations, const Installs& installs) {
    const auto middle = installs.begin() + static_cast<std::ptrdiff_t>(installs.size() / 2);
    std::exception_ptr failure;
    for (const Installs& half :
         {Installs{installs.begin(), middle}, Installs{middle, installs.end()}}) {
      try {
        write(mutations, half);
      } catch (const StatementError&) {
        failure = std::current_exception();  // affects this half alone
      }
    }
    if (failure) std::rethrow_exception(failure);
  }

  // Divides the installs until the one whose values or rows the server cannot accept or read is
  // found.
  void write_apart(std::span<const Mutation> mutations, const Installs& installs,
                   const StatementError& error) {
    if (installs.size() > 1) return write_halves(mutations, installs);
    installs.front().second->outcome = Outcome::damaged;
    report("install_damaged", "install \"" + *installs.front().first + "\": " + error.what());
  }

  // Writes the installs whose rows are free; held ones become busy. A row found held for the first
  // time is waited for once more, as a write of another node ends soon.
  void write_free(std::span<const Mutation> mutations, const Installs& installs) {
    Installs held;
    if (!write_unless_held(mutations, installs, held)) return write_new_apart(mutations, installs);
    const Installs found_now = not_known_as_held(held);
    note_held(known_as_held(held), held_for);
    if (!found_now.empty()) wait_for_held(mutations, found_now);
  }

  // Writes the installs whose rows are free, in one transaction. Returns false, without an effect,
  // if another transaction is creating one of them: its row is not visible yet.
  bool write_unless_held(std::span<const Mutation> mutations, const Installs& installs,
                         Installs& held) {
    Installs free;
    bool has_seen_all = false;
    try {
      pool_.with([&](Connection& connection) {
        free.clear();
        held.clear();
        has_seen_all = false;
        const Transaction transaction{connection};
        split(connection, installs, free, held);
        has_seen_all = true;
        write_parts(connection, mutations, free);
        transaction.commit();
      });
    } catch (const StatementError& error) {
      // Before the rows are locked, the table or another lock was the reason.
      if (error.code() != lock_not_available || !has_seen_all) throw;
      return false;
    }
    note_outcomes(free);
    for (const auto& [id, install] : free) held_until_.erase(*id);
    return true;
  }

  void wait_for_held(std::span<const Mutation> mutations, const Installs& found_now) {
    Installs held;
    try {
      return write_at_once(mutations, found_now);
    } catch (const StatementError&) {
      held = found_now;  // it had no effect
    }
    try {
      if (!write_unless_held(mutations, found_now, held)) held = found_now;
    } catch (const StatementError&) {
      held = found_now;
    }
    note_held(held, held_for);
  }

  // Existing installs were locked before, so the write waits for a new one.
  void write_new_apart(std::span<const Mutation> mutations, const Installs& installs) {
    Installs existing;
    Installs created;
    for (const auto& install : installs) {
      (install.second->is_new() ? created : existing).push_back(install);
    }
    if (created.empty())
      throw StoreError{StoreErrorKind::unavailable,
                       "a table of the ledger in PostgreSQL is locked"};
    if (!existing.empty()) write(mutations, existing);
    find_held_among_new(mutations, created);
  }

  void find_held_among_new(std::span<const Mutation> mutations, const Installs& created) {
    expect_time_left();
    try {
      return write_at_once(mutations, created);
    } catch (const StatementError& error) {
      if (error.code() != lock_not_available) throw;
    }
    if (created.size() == 1) return note_held(created, new_held_for);
    const auto middle = created.begin() + static_cast<std::ptrdiff_t>(created.size() / 2);
    find_held_among_new(mutations, {created.begin(), middle});
    find_held_among_new(mutations, {middle, created.end()});
  }

  // Locks the rows of `free` until the end of the transaction. A new install counts as free, unless
  // another transaction is known to be creating it.
  void split(Connection& connection, const Installs& installs, Installs& free, Installs& held) {
    std::vector<std::string> ids;
    for (const auto& [id, install] : installs) ids.push_back(*id);
    Parameters parameters;
    parameters.add(texts_of(ids));
    const Result result = connection.run(postgres::sql::lock_free_installs, parameters);
    std::unordered_set<std::string> locked;
    for (int at = 0; at < result.rows(); ++at) locked.insert(result.text(at, 0));
    for (const auto& install : installs) {
      const bool is_new = install.second->is_new() && !held_until_.contains(*install.first);
      const bool is_free = is_new || locked.contains(*install.first);
      (is_free ? free : held).push_back(install);
    }
  }

  bool is_any_held(const Installs& installs) {
    const auto now = std::chrono::steady_clock::now();
    std::erase_if(held_until_, [now](const auto& held) { return held.second < now; });
    return not_known_as_held(installs).size() < installs.size();
  }

  Installs not_known_as_held(const Installs& installs) const {
    Installs others;
    std::copy_if(installs.begin(), installs.end(), std::back_inserter(others),
                 [this](const auto& install) { return !held_until_.contains(*install.first); });
    return others;
  }

  Installs known_as_held(const Installs& installs) const {
    Installs known;
    std::copy_if(installs.begin(), installs.end(), std::back_inserter(known),
                 [this](const auto& install) { return held_until_.contains(*install.first); });
    return known;
  }

  void note_held(const Installs& installs, std::chrono::seconds time) {
    const auto until = std::chrono::steady_clock::now() + time;
    for (const auto& [id, install] : installs) {
      install->outcome = Outcome::busy;
      const auto [held, is_news] = held_until_.try_emplace(*id, until);
      // An install that is being created cannot be checked, so it must be tried again.
      if (!install->is_new()) held->second = until;
      if (!is_news) continue;
      report("install_held", "another transaction holds the row of install \"" + *id +
                                 "\"; its commits are refused until that one ends, see pg_locks");
    }
  }

  // Installs whose rows are gone conflict; the others are written.
  void write_existing(std::span<const Mutation> mutations, const Installs& installs) {
    std::vector<std::string> ids;
    for (const auto& [id, install] : installs) ids.push_back(*id);
    const auto newest = read_stamps(ids);
    Installs there;
    for (const auto& install : installs) {
      const bool is_gone = !install.second->is_new() && newest.at(*install.first).version == 0;
      if (is_gone) {
        install.second->outcome = Outcome::conflict;
      } else {
        there.push_back(install);
      }
    }
    if (there.size() == installs.size()) {
      throw StoreError{StoreErrorKind::unavailable,
                       "PostgreSQL reported a missing row, but all rows exist"};
    }
    write(mutations, there);
  }

  void write_parts(Connection& connection, std::span<const Mutation> mutations,
                   const Installs& installs) {
    for (std::size_t begin = 0; begin < installs.size(); begin += installs_in_a_statement) {
      const auto first = installs.begin() + static_cast<std::ptrdiff_t>(begin);
      const auto count = std::min(installs_in_a_statement, installs.size() - begin);
      write_part(connection, mutations, {first, first + static_cast<std::ptrdiff_t>(count)});
    }
  }

  void write_part(Connection& connection, std::span<const Mutation> mutations,
                  const Installs& installs) {
    RowArrays rows;
    Array replaced = Array::of_integers();
    EntryArrays entries;
    ReplayKeyArrays replay_keys;
    for (const auto& [id, install] : installs) {
      auto hash = install->hashes.begin();
      for (const std::size_t place : install->places) {
        for (const ledger::Entry& entry : mutations[place].entries) {
          entries.add(*id, entry, *hash++);
          replay_keys.add(*id, entry);
        }
      }
      rows.add_guarded(mutations[install->places.back()].after, install->hashes.back(),
                       install->follows.hash);
      replaced.add(static_cast<std::int64_t>(install->follows.version));
    }
    Parameters parameters;
    rows.add_to(parameters);
    parameters.add(replaced);
    entries.add_to(parameters);
    replay_keys.add_to(parameters);
    const Result result = connection.run(postgres::sql::append, parameters);
    std::unordered_set<std::string_view> written;
    for (int at = 0; at < result.rows(); ++at) written.insert(result.bytes(at, 0));
    for (const auto& [id, install] : installs) {
      install->is_written = written.contains(*id);
    }
  }

  static bool forget(Connection& connection, ledger::Time before) {
    Parameters parameters;
    parameters.add(to_ms(before));
    parameters.add(forgotten_at_once);
    return connection.run(postgres::sql::forget_names, parameters).affected() == forgotten_at_once;
  }

  // Folds pruned entries into the baselines that stand for them. A damaged entry stays, and so do
  // the install's later ones.
  bool prune(Connection& connection, ledger::Time before) {
    Parameters parameters;
    parameters.add(to_ms(before));
    parameters.add(pruned_at_once);
    parameters.add(texts_of(unprunable_));
    const Result result = connection.run(postgres::sql::select_prunable, parameters);
    if (result.rows() == 0) return false;
    std::vector<std::string> ids;
    for (int at = 0; at < result.rows(); ++at) {
      if (ids.empty() || ids.back() != result.text(at, 0)) ids.push_back(result.text(at, 0));
    }
    auto baselines = read_baselines(connection, ids);
    Hasher hasher;
    for (int at = 0; at < result.rows(); ++at) {
      const std::string id = result.text(at, 0);
      if (!unprunable_.empty() && unprunable_.back() == id) continue;
      try {
        fold(postgres::read_entry(result, at), baselines[id], hasher);
      } catch (const StoreError& error) {
        if (error.kind() != StoreErrorKind::damaged) throw;
        unprunable_.push_back(id);
        baselines.erase(id);
        report("install_damaged", std::string{"damaged entries are not pruned: "} + error.what());
      }
    }
    write_pruned(connection, baselines);
    return result.rows() == pruned_at_once;
  }

  static void fold(const ChainedEntry& stored, ChainedRow& baseline, Hasher& hasher) {
    const std::string& id = stored.install_id;
    const std::string what =
        "entry " + std::to_string(stored.entry.version) + " of install \"" + id + "\"";
    if (!hasher.fits(stored.hash, baseline.hash, id, stored.entry)) {
      throw StoreError{StoreErrorKind::damaged, what + " does not fit its hash"};
    }
    try {
      baseline.row.install_id = id;
      ledger::apply(baseline.row, stored.entry);
      baseline.hash = stored.hash;
    } catch (const std::invalid_argument& error) {
      throw StoreError{StoreErrorKind::damaged, what + ": " + error.what()};
    }
  }

  static std::map<std::string, ChainedRow> read_baselines(Connection& connection,
                                                          std::span<const std::string> ids) {
    Parameters parameters;
    parameters.add(texts_of(ids));
    const Result result = connection.run(postgres::sql::select_baselines, parameters);
    std::map<std::string, ChainedRow> baselines;
    for (int at = 0; at < result.rows(); ++at) {
      ChainedRow stored = postgres::read_row(result, at);
      baselines[stored.row.install_id] = std::move(stored);
    }
    return baselines;
  }

  static void write_pruned(Connection& connection,
                           const std::map<std::string, ChainedRow>& baselines) {
    RowArrays rows;
    Array ids = Array::of_texts();
    Array versions = Array::of_integers();
    for (const auto& [id, baseline] : baselines) {
      rows.add(baseline.row, baseline.hash);
      ids.add(id);
      versions.add(static_cast<std::int64_t>(baseline.row.version));
    }
    Parameters upserted;
    rows.add_to(upserted);
    connection.run(postgres::sql::upsert_baselines, upserted);
    Parameters deleted;
    deleted.add(ids);
    deleted.add(versions);
    connection.run(postgres::sql::delete_pruned, deleted);
  }

  const Report report_;
  Pool pool_;
  Hasher hasher_;  // for append() alone, like the next two
  std::unordered_map<std::string, std::chrono::steady_clock::time_point> held_until_;
  std::chrono::steady_clock::time_point append_until_{};
  std::vector<std::string> unprunable_;  // for prune() alone: installs with damaged entries
  std::atomic<std::uint64_t> installs_{0};
};

}  // namespace

std::unique_ptr<Store> open_postgres_store(const std::string& uri, const PostgresOptions& options) {
  if (const auto fault = fault_of_postgres_uri(uri))
    throw StoreError{StoreErrorKind::refused, *fault};
  try {
    return std::make_unique<PostgresStore>(uri, options);
  } catch (const postgres::ConnectionError& error) {
    if (!postgres::refuses_for_good(uri)) throw;
    throw StoreError{StoreErrorKind::refused, error.what()};
  }
}

}  // namespace credits::persistence
