#include "persistence/postgres_store.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <mutex>
#include <stdexcept>
#include <unordered_map>
#include <utility>

#include "actors/ledger/rules.hpp"
#include "persistence/chain.hpp"
#include "persistence/known_installs.hpp"
#include "persistence/postgres.hpp"
#include "persistence/postgres_columns.hpp"
#include "persistence/postgres_schema.hpp"
#include "persistence/postgres_sql.hpp"

namespace credits::persistence {

namespace {

using postgres::ChainedEntry;
using postgres::ChainedRow;
using postgres::Connection;
using postgres::EntryArrays;
using postgres::NameArrays;
using postgres::Parameters;
using postgres::Pool;
using postgres::Result;
using postgres::RowArrays;
using postgres::texts_of;
using postgres::to_hash;
using postgres::to_ms;
using Array = Parameters::Array;

// How much one call of prune() looks at.
constexpr std::int64_t forgotten_at_once = 20'000;
constexpr std::int64_t pruned_at_once = 2'000;

constexpr std::size_t installs_in_a_statement = 8'192;
constexpr int tries_max = 5;  // of a statement that met another transaction

// What is known of an install's newest entry, and when that was so.
struct Head {
  std::uint64_t version = 0;
  std::optional<Hash> hash{};
  Pool::Generation generation = 0;  // 0: nothing is known
};

// The mutations of one install in a batch, as one.
struct Merged {
  std::vector<std::size_t> places;
  std::uint64_t replaced = 0;
  std::uint64_t reached = 0;
  std::optional<Hash> hash{};  // of the entry of the version that is replaced
  bool is_broken_off = false;  // what comes after `reached` builds on something else
  bool conflicts = false;
};

class PostgresCursor : public RowCursor {
 public:
  explicit PostgresCursor(const std::string& uri) : connection_{uri} {
    connection_.run_script(postgres::sql::stand_still);
    connection_.run_script(postgres::sql::select_all_rows);
  }

  std::optional<ledger::Row> next() override {
    if (at_ == rows_.size() && !is_at_end_) {
      rows_ = postgres::read_rows(connection_.run(postgres::sql::fetch_rows));
      is_at_end_ = rows_.empty();
      at_ = 0;
    }
    return at_ < rows_.size() ? std::optional{std::move(rows_[at_++])} : std::nullopt;
  }

 private:
  Connection connection_;
  std::vector<ledger::Row> rows_;
  std::size_t at_ = 0;
  bool is_at_end_ = false;
};

class PostgresStore : public Store {
 public:
  PostgresStore(const std::string& uri, const PostgresOptions& options)
      : uri_{uri}, pool_{uri, postgres::sql::set_up}, heads_{options.heads_max} {
    pool_.with([this](Connection& connection) {
      postgres::check_server(connection);
      postgres::make_schema(connection);
      count_installs(connection);
    });
  }

  std::vector<std::optional<ledger::Row>> load(std::span<const std::string> ids) override {
    std::unordered_map<std::string, ChainedRow> found;
    const auto generation = pool_.generation();
    read([&](Connection& connection) {
      Parameters parameters;
      parameters.add(texts_of(ids));
      const Result result = connection.run(postgres::sql::select_rows, parameters);
      found.clear();
      for (int at = 0; at < result.rows(); ++at) {
        ChainedRow stored = postgres::read_row(result, at);
        found[stored.row.install_id] = std::move(stored);
      }
    });
    std::vector<std::optional<ledger::Row>> rows;
    const std::lock_guard lock{mutex_};
    heads_.make_room();
    for (const std::string& id : ids) {
      const auto stored = found.find(id);
      const bool is_there = stored != found.end();
      note_head(id, is_there ? Head{stored->second.row.version, stored->second.hash, generation}
                             : Head{0, std::nullopt, generation});
      rows.push_back(is_there ? std::optional{stored->second.row} : std::nullopt);
    }
    return rows;
  }

  std::optional<std::vector<ledger::Name>> names(const std::string& install_id,
                                                 std::size_t limit) override {
    std::vector<ledger::Name> names;
    read([&](Connection& connection) {
      Parameters parameters;
      parameters.add(std::string_view{install_id});
      parameters.add(static_cast<std::int64_t>(limit) + 1);
      const Result result = connection.run(postgres::sql::select_names, parameters);
      names.clear();
      for (int at = 0; at < result.rows(); ++at) {
        names.push_back(
            {static_cast<ledger::Name::Kind>(result.integer(at, 0)), result.text(at, 1)});
      }
    });
    return names.size() > limit ? std::nullopt : std::optional{std::move(names)};
  }

  std::vector<std::optional<ledger::Entry>> recall(const std::string& install_id,
                                                   std::span<const ledger::Name> names) override {
    Array kinds = Array::of_integers();
    Array texts = Array::of_texts();
    for (const ledger::Name& name : names) {
      kinds.add(static_cast<std::int64_t>(name.kind));
      texts.add(name.text);
    }
    std::vector<std::optional<ledger::Entry>> entries;
    read([&](Connection& connection) {
      Parameters parameters;
      parameters.add(std::string_view{install_id});
      parameters.add(kinds);
      parameters.add(texts);
      const Result result = connection.run(postgres::sql::select_recalled, parameters);
      Hasher hasher;
      entries.assign(names.size(), std::nullopt);
      for (int at = 0; at < result.rows(); ++at) {
        ChainedEntry stored = postgres::read_whole_entry(result, at, hasher);
        const auto place = static_cast<std::size_t>(result.integer(at, stored.columns)) - 1;
        entries.at(place) = std::move(stored.entry);
      }
    });
    return entries;
  }

  std::vector<Outcome> append(std::span<const Mutation> mutations) override {
    auto merged = merge(mutations);
    find_heads(merged);
    std::vector<Outcome> outcomes(mutations.size(), Outcome::conflict);
    std::vector<std::pair<const std::string*, Merged*>> writable;
    for (auto& [id, install] : merged) {
      if (!install.conflicts) writable.emplace_back(&id, &install);
    }
    const auto generation = pool_.generation();
    std::unordered_map<std::string, Hash> newest;
    const auto written = write(mutations, writable, newest);
    const std::lock_guard lock{mutex_};
    for (const std::string& id : written) {
      const Merged& install = merged.at(id);
      for (const std::size_t place : install.places) outcomes[place] = Outcome::stored;
      heads_.at(id) = {install.reached, newest.at(id), generation};
      if (install.replaced == 0) ++installs_;
    }
    for (std::size_t i = 0; i < mutations.size(); ++i) {
      // What is in its way is another's: what is known of it is old.
      if (outcomes[i] == Outcome::conflict) heads_.at(mutations[i].after.install_id) = {};
    }
    return outcomes;
  }

  std::vector<bool> are_current(std::span<const Seen> seen) override {
    std::vector<std::string> ids;
    for (const Seen& one : seen) ids.push_back(one.install_id);
    const auto stored = read_heads(ids);
    std::vector<bool> current;
    const std::lock_guard lock{mutex_};
    for (const Seen& one : seen) {
      const Head& newest = stored.at(one.install_id);
      Head& known = heads_.at(one.install_id);
      const bool is_current = newest.version == one.version &&
                              (known.version != one.version || known.hash == newest.hash);
      if (!is_current) known = {};
      current.push_back(is_current);
    }
    heads_.make_room();
    return current;
  }

  bool is_shared() const override { return true; }

  void ping() override {
    read([](Connection& connection) { connection.run("SELECT 1"); });
  }

  std::vector<ledger::Row> list(const ListQuery& query) override {
    std::vector<ledger::Row> rows;
    read([&](Connection& connection) {
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
    read([&](Connection& connection) {
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

  std::unique_ptr<RowCursor> snapshot() override { return std::make_unique<PostgresCursor>(uri_); }

  void checkpoint() override {}

  bool prune(const Horizon& horizon) override {
    return pool_.with([&](Connection& connection) {
      const bool has_more = prune_part(connection, horizon);
      if (!has_more) count_installs(connection);
      return has_more;
    });
  }

  std::uint64_t installs() override {
    if (installs_ == 0) read([this](Connection& connection) { count_installs(connection); });
    return installs_;
  }

  std::uint64_t pending_rows() override { return 0; }
  std::string_view engine() const override { return "postgresql"; }

 private:
  // Is rolled back unless it is committed.
  class Transaction {
   public:
    explicit Transaction(Connection& connection) : connection_{connection} {
      connection_.run_script("BEGIN");
    }
    ~Transaction() {
      if (is_committed_ || connection_.is_broken()) return;
      try {
        connection_.run_script("ROLLBACK");
      } catch (const StoreError&) {
        // the connection is broken now, and is given up
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

  static bool prune_part(Connection& connection, const Horizon& horizon) {
    const Transaction transaction{connection};
    if (connection.run(postgres::sql::try_lock_pruning).integer(0, 0) == 0) return false;
    const bool more_names = forget(connection, horizon.names_before);
    const bool more_entries = prune(connection, horizon.entries_before);
    transaction.commit();
    return more_names || more_entries;
  }

  // Others create some too. What is created meanwhile here may be missing until the next time.
  void count_installs(Connection& connection) {
    installs_ =
        static_cast<std::uint64_t>(connection.run(postgres::sql::count_installs).integer(0, 0));
  }

  // What only reads is tried once more where its connection turns out to be lost.
  template <class Work>
  void read(const Work& work) {
    try {
      pool_.with(work);
    } catch (const postgres::ConnectionError&) {
      pool_.with(work);
    }
  }

  // What is known from another server's answers, and is not so here, stays until its owner has met
  // it: its row is old.
  void note_head(const std::string& id, const Head& newest) {
    Head& known = heads_.at(id);
    const bool is_doubtful = known.generation != 0 && known.generation != newest.generation;
    if (is_doubtful && (known.version != newest.version || known.hash != newest.hash)) return;
    known = newest;
  }

  // By install: what of the batch builds on each other.
  static std::map<std::string, Merged> merge(std::span<const Mutation> mutations) {
    std::map<std::string, Merged> merged;
    for (std::size_t i = 0; i < mutations.size(); ++i) {
      const Mutation& mutation = mutations[i];
      const auto [found, is_new] = merged.try_emplace(mutation.after.install_id);
      Merged& install = found->second;
      const std::uint64_t replaced = mutation.after.version - mutation.entries.size();
      if (is_new) install.replaced = install.reached = replaced;
      install.is_broken_off = install.is_broken_off || replaced != install.reached;
      if (install.is_broken_off) continue;
      install.reached = mutation.after.version;
      install.places.push_back(i);
    }
    return merged;
  }

  // Of each; version 0: there is no such install.
  std::unordered_map<std::string, Head> read_heads(std::span<const std::string> ids) {
    std::unordered_map<std::string, Head> heads;
    const auto generation = pool_.generation();
    read([&](Connection& connection) {
      Parameters parameters;
      parameters.add(texts_of(ids));
      const Result result = connection.run(postgres::sql::select_heads, parameters);
      heads.clear();
      for (const std::string& id : ids) heads[id] = {0, std::nullopt, generation};
      for (int at = 0; at < result.rows(); ++at) {
        heads[result.text(at, 0)] = {static_cast<std::uint64_t>(result.integer(at, 1)),
                                     to_hash(result, at, 2), generation};
      }
    });
    return heads;
  }

  // Finds the hash that each install's first entry follows. What does not replace the newest
  // version that is known conflicts; so does what was known when another server answered, and is
  // not so any more: a version that is the same may stand for another history.
  void find_heads(std::map<std::string, Merged>& merged) {
    std::vector<std::string> doubtful;
    {
      const auto generation = pool_.generation();
      const std::lock_guard lock{mutex_};
      heads_.make_room();
      for (auto& [id, install] : merged) {
        const Head& known = heads_.at(id);
        if (known.generation == generation) {
          follow(known, install);
        } else {
          doubtful.push_back(id);
        }
      }
    }
    if (doubtful.empty()) return;
    const auto stored = read_heads(doubtful);
    const std::lock_guard lock{mutex_};
    for (const std::string& id : doubtful) {
      const Head& newest = stored.at(id);
      Head& known = heads_.at(id);
      Merged& install = merged.at(id);
      follow(newest, install);
      if (known.generation != 0 && (known.version != newest.version || known.hash != newest.hash)) {
        install.conflicts = true;
      }
      known = newest;
    }
  }

  static void follow(const Head& head, Merged& install) {
    install.conflicts = install.conflicts || head.version != install.replaced;
    install.hash = head.hash;
  }

  using Writable = std::vector<std::pair<const std::string*, Merged*>>;

  // The installs that were written, all in one transaction; `newest` gets the hash of each one's
  // newest entry.
  std::vector<std::string> write(std::span<const Mutation> mutations, const Writable& writable,
                                 std::unordered_map<std::string, Hash>& newest) {
    if (writable.empty()) return {};
    for (int tried = 1;; ++tried) {
      try {
        return pool_.with([&](Connection& connection) {
          if (writable.size() <= installs_in_a_statement) {
            return write_part(connection, mutations, writable, newest);
          }
          return write_in_parts(connection, mutations, writable, newest);
        });
      } catch (const postgres::StatementError& error) {
        if (!error.is_transient() || tried == tries_max) throw;
      }
    }
  }

  std::vector<std::string> write_in_parts(Connection& connection,
                                          std::span<const Mutation> mutations,
                                          const Writable& writable,
                                          std::unordered_map<std::string, Hash>& newest) {
    const Transaction transaction{connection};
    std::vector<std::string> written;
    for (std::size_t begin = 0; begin < writable.size(); begin += installs_in_a_statement) {
      const auto first = writable.begin() + static_cast<std::ptrdiff_t>(begin);
      const auto count = std::min(installs_in_a_statement, writable.size() - begin);
      const Writable part{first, first + static_cast<std::ptrdiff_t>(count)};
      for (auto& id : write_part(connection, mutations, part, newest)) {
        written.push_back(std::move(id));
      }
    }
    transaction.commit();
    return written;
  }

  std::vector<std::string> write_part(Connection& connection, std::span<const Mutation> mutations,
                                      const Writable& writable,
                                      std::unordered_map<std::string, Hash>& newest) {
    RowArrays rows;
    Array replaced = Array::of_integers();
    EntryArrays entries;
    NameArrays names;
    for (const auto& [id, install] : writable) {
      std::optional<Hash> hash = install->hash;
      for (const std::size_t place : install->places) {
        for (const ledger::Entry& entry : mutations[place].entries) {
          hash = hasher_(hash, *id, entry);
          entries.add(*id, entry, *hash);
          names.add(*id, entry);
        }
      }
      rows.add(mutations[install->places.back()].after, hash);
      replaced.add(static_cast<std::int64_t>(install->replaced));
      newest[*id] = *hash;
    }
    Parameters parameters;
    rows.add_to(parameters);
    parameters.add(replaced);
    entries.add_to(parameters);
    names.add_to(parameters);
    const Result result = connection.run(postgres::sql::append, parameters);
    std::vector<std::string> written;
    for (int at = 0; at < result.rows(); ++at) written.push_back(result.text(at, 0));
    return written;
  }

  static bool forget(Connection& connection, ledger::Time before) {
    Parameters parameters;
    parameters.add(to_ms(before));
    parameters.add(forgotten_at_once);
    return connection.run(postgres::sql::forget_names, parameters).affected() == forgotten_at_once;
  }

  // Folds the entries that go into the rows that stand for them.
  static bool prune(Connection& connection, ledger::Time before) {
    Parameters parameters;
    parameters.add(to_ms(before));
    parameters.add(pruned_at_once);
    const Result result = connection.run(postgres::sql::select_prunable, parameters);
    if (result.rows() == 0) return false;
    std::vector<std::string> ids;
    for (int at = 0; at < result.rows(); ++at) {
      if (ids.empty() || ids.back() != result.text(at, 0)) ids.push_back(result.text(at, 0));
    }
    auto baselines = read_baselines(connection, ids);
    for (int at = 0; at < result.rows(); ++at) {
      const ChainedEntry stored = postgres::read_entry(result, at);
      ChainedRow& baseline = baselines[stored.install_id];
      baseline.row.install_id = stored.install_id;
      ledger::apply(baseline.row, stored.entry);
      baseline.hash = stored.hash;
    }
    write_pruned(connection, baselines);
    return result.rows() == pruned_at_once;
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

  const std::string uri_;
  Pool pool_;
  std::mutex mutex_;
  KnownInstalls<Head> heads_;  // guarded by mutex_
  Hasher hasher_;              // append()'s alone
  std::atomic<std::uint64_t> installs_{0};
};

}  // namespace

std::unique_ptr<Store> open_postgres_store(const std::string& uri, const PostgresOptions& options) {
  if (const auto fault = fault_of_postgres_uri(uri)) throw StoreError{*fault};
  return std::make_unique<PostgresStore>(uri, options);
}

}  // namespace credits::persistence
