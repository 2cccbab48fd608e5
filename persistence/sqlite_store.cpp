#include "persistence/sqlite_store.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <random>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "actors/ledger/rules.hpp"
#include "persistence/directory_lock.hpp"
#include "persistence/files.hpp"
#include "persistence/journal.hpp"
#include "persistence/snapshots.hpp"

namespace credits::persistence {

namespace {

std::string random_ledger_id() {
  std::random_device random;
  std::string id;
  for (int i = 0; i < 32; ++i) id += "0123456789abcdef"[random() % 16];
  return id;
}

// Makes the directory, durably, if it is missing.
const std::filesystem::path& prepare_directory(const std::filesystem::path& directory) {
  std::error_code error;
  std::filesystem::create_directories(directory.parent_path(), error);
  const bool is_new = ::mkdir(directory.c_str(), 0700) == 0;
  if (!is_new && errno != EEXIST) {
    throw StoreError{"cannot make the data directory " + directory.string() + ": " +
                     std::strerror(errno) + "; choose one that this user may make"};
  }
  if (!std::filesystem::is_directory(directory)) {
    throw StoreError{directory.string() + " is not a directory; choose another data directory"};
  }
  if (is_new) sync_directory(std::filesystem::absolute(directory).parent_path());
  return directory;
}

// What is known of an install's place in the journal.
struct Head {
  std::uint64_t version = 0;
  std::uint64_t sequence = 0;
};

// The heads of the installs that were written last. When one generation is full it becomes the old
// one, and the one before that is forgotten.
class HeadCache {
 public:
  explicit HeadCache(std::size_t heads_max)
      : generation_max_{std::max<std::size_t>(1, heads_max / 2)} {}

  const Head* find(const std::string& id) const {
    if (const auto found = young_.find(id); found != young_.end()) return &found->second;
    if (const auto found = old_.find(id); found != old_.end()) return &found->second;
    return nullptr;
  }

  void set(const std::string& id, const Head& head) {
    if (young_.size() >= generation_max_ && !young_.contains(id)) {
      old_ = std::exchange(young_, {});
    }
    young_[id] = head;
  }

 private:
  const std::size_t generation_max_;
  std::unordered_map<std::string, Head> young_;
  std::unordered_map<std::string, Head> old_;
};

class SqliteStore : public Store {
 public:
  SqliteStore(const std::filesystem::path& data_dir, const SqliteOptions& options)
      : data_dir_{prepare_directory(data_dir)},
        snapshots_path_{data_dir / "snapshots.db"},
        options_{options},
        lock_{data_dir},
        journal_{open_journal(data_dir)},
        writer_{snapshots_path_, journal_.ledger_id()},
        loader_{snapshots_path_},
        guard_{snapshots_path_},
        lister_{snapshots_path_},
        heads_{options.heads_max} {
    sync_directory(data_dir);
    recover();
  }

  std::vector<std::optional<ledger::Row>> load(std::span<const std::string> ids) override {
    std::vector<std::optional<ledger::Row>> rows;
    rows.reserve(ids.size());
    for (const std::string& id : ids) {
      auto stored = find(id, loader_);
      rows.push_back(stored ? std::optional{std::move(stored->row)} : std::nullopt);
    }
    return rows;
  }

  std::vector<Outcome> append(std::span<const Mutation> mutations) override {
    wait_for_room();
    const Plan plan = plan_append(mutations);
    if (!plan.records.empty()) journal_.append(plan.records);
    publish(mutations, plan);
    return plan.outcomes;
  }

  std::vector<ledger::Row> list(const ListQuery& query) override {
    checkpoint();
    return lister_.list(query);
  }

  std::vector<ledger::Entry> entries(const std::string& install_id, std::uint64_t before_version,
                                     std::size_t limit) override {
    const auto stored = find(install_id, lister_);
    if (!stored) return {};
    return journal_.entries(stored->last_sequence, before_version, limit);
  }

  std::unique_ptr<RowCursor> snapshot() override {
    checkpoint();
    return open_cursor(snapshots_path_);
  }

  void checkpoint() override {
    const std::lock_guard one_at_a_time{checkpoint_mutex_};
    Progress progress;
    {
      const std::lock_guard lock{mutex_};
      if (active_.empty()) return;
      flushing_ = std::exchange(active_, {});
      progress = {last_sequence_, installs_};
    }
    try {
      writer_.write(sorted(flushing_), progress);
    } catch (...) {
      const std::lock_guard lock{mutex_};
      active_.merge(flushing_);  // what is there already is newer, and stays
      flushing_.clear();
      throw;
    }
    Overlay written;
    {
      const std::lock_guard lock{mutex_};
      written = std::exchange(flushing_, {});
    }
    has_room_.notify_all();
  }

  std::uint64_t installs() override {
    const std::lock_guard lock{mutex_};
    return installs_;
  }

 private:
  using Overlay = std::unordered_map<std::string, StoredRow>;

  // Where an append finds and leaves an install.
  struct Planned {
    Head head;
    bool conflicts = false;
  };

  // What an append will do.
  struct Plan {
    std::vector<Outcome> outcomes;
    std::vector<JournalRecord> records;
    std::vector<std::size_t> stored;  // for each record, its mutation
    std::unordered_map<std::string_view, Planned> installs;
  };

  static std::vector<const StoredRow*> sorted(const Overlay& overlay) {
    std::vector<const StoredRow*> rows;
    rows.reserve(overlay.size());
    for (const auto& [id, stored] : overlay) rows.push_back(&stored);
    std::sort(rows.begin(), rows.end(), [](const StoredRow* a, const StoredRow* b) {
      return a->row.install_id < b->row.install_id;
    });
    return rows;
  }

  Journal open_journal(const std::filesystem::path& data_dir) const {
    const auto path = data_dir / "journal.db";
    if (std::filesystem::exists(snapshots_path_) && !std::filesystem::exists(path)) {
      throw StoreError{path.string() + " is missing, but " + snapshots_path_.string() +
                       " is there; restore both from a backup"};
    }
    return Journal{path, random_ledger_id()};
  }

  std::optional<StoredRow> find(const std::string& id, SnapshotReader& reader) {
    {
      const std::lock_guard lock{mutex_};
      if (const auto row = active_.find(id); row != active_.end()) return row->second;
      if (const auto row = flushing_.find(id); row != flushing_.end()) return row->second;
    }
    return reader.load(id);
  }

  void wait_for_room() {
    std::unique_lock lock{mutex_};
    const bool has_room = has_room_.wait_for(lock, options_.overlay_wait_max, [this] {
      return active_.size() < options_.overlay_rows_max;
    });
    if (!has_room) {
      throw StoreError{snapshots_path_.string() + " lags too far behind the journal: " +
                       std::to_string(active_.size()) + " rows are waiting"};
    }
  }

  Head head_of(const std::string& id) {
    if (const Head* known = heads_.find(id)) return *known;
    const auto stored = find(id, guard_);
    return stored ? Head{stored->row.version, stored->last_sequence} : Head{};
  }

  Plan plan_append(std::span<const Mutation> mutations) {
    Plan plan;
    plan.outcomes.reserve(mutations.size());
    plan.records.reserve(mutations.size());
    plan.stored.reserve(mutations.size());
    std::uint64_t sequence = last_sequence_;  // changed by this thread alone
    for (std::size_t i = 0; i < mutations.size(); ++i) {
      const auto& [after, entry] = mutations[i];
      const auto [found, is_new] = plan.installs.try_emplace(after.install_id);
      auto& [head, conflicts] = found->second;
      if (is_new) head = head_of(after.install_id);
      const bool follows = entry.version == head.version + 1 && after.version == entry.version;
      conflicts = conflicts || !follows;
      if (conflicts) {
        plan.outcomes.push_back(Outcome::conflict);
        continue;
      }
      ++sequence;
      plan.records.push_back({sequence, head.sequence, after.install_id, entry});
      plan.stored.push_back(i);
      plan.outcomes.push_back(Outcome::stored);
      head = {entry.version, sequence};
    }
    return plan;
  }

  // Makes what the journal has now visible.
  void publish(std::span<const Mutation> mutations, const Plan& plan) {
    for (const auto& [id, planned] : plan.installs) heads_.set(std::string{id}, planned.head);
    const std::lock_guard lock{mutex_};
    for (std::size_t i = 0; i < plan.records.size(); ++i) {
      const ledger::Row& after = mutations[plan.stored[i]].after;
      StoredRow& stored = active_[after.install_id];
      stored.row = after;
      stored.last_sequence = plan.records[i].sequence;
      if (after.version == 1) ++installs_;
    }
    if (!plan.records.empty()) last_sequence_ = plan.records.back().sequence;
  }

  // Brings the rows from where the snapshots are to where the journal is.
  void recover() {
    if (writer_.ledger_id() != journal_.ledger_id()) {
      throw StoreError{"journal.db and snapshots.db in " + data_dir_.string() +
                       " belong to different ledgers; restore both from one backup"};
    }
    const Progress progress = writer_.progress();
    const std::uint64_t journal_end = journal_.last_sequence();
    if (journal_end < progress.sequence) {
      throw StoreError{"journal.db in " + data_dir_.string() + " ends at entry " +
                       std::to_string(journal_end) + ", but snapshots.db has seen entry " +
                       std::to_string(progress.sequence) +
                       "; entries are lost, restore both files from one backup"};
    }
    last_sequence_ = progress.sequence;
    installs_ = progress.installs;
    journal_.replay(progress.sequence, [this](const JournalRecord& record) { replay(record); });
  }

  void replay(const JournalRecord& record) {
    StoredRow stored = find(record.install_id, guard_).value_or(StoredRow{});
    stored.row.install_id = record.install_id;
    try {
      if (record.previous_sequence != stored.last_sequence) {
        throw std::invalid_argument{"it does not follow the entry before it"};
      }
      ledger::apply(stored.row, record.entry);
    } catch (const std::invalid_argument& error) {
      throw StoreError{"journal.db in " + data_dir_.string() + ": entry " +
                       std::to_string(record.sequence) + ", version " +
                       std::to_string(record.entry.version) + " of install \"" + record.install_id +
                       "\": " + error.what() + "; restore the ledger from a backup"};
    }
    stored.last_sequence = record.sequence;
    {
      const std::lock_guard lock{mutex_};
      if (stored.row.version == 1) ++installs_;
      last_sequence_ = record.sequence;
      active_[record.install_id] = std::move(stored);
    }
    if (active_.size() >= options_.overlay_rows_max) checkpoint();
  }

  const std::filesystem::path data_dir_;
  const std::filesystem::path snapshots_path_;
  const SqliteOptions options_;
  const DirectoryLock lock_;
  Journal journal_;
  SnapshotWriter writer_;  // guarded by checkpoint_mutex_
  SnapshotReader loader_;  // for load()
  SnapshotReader guard_;   // for append(), so that it waits for no reader
  SnapshotReader lister_;  // for operators
  HeadCache heads_;        // append()'s alone

  std::mutex checkpoint_mutex_;
  std::mutex mutex_;  // guards all below; never held while the disk is waited for
  std::condition_variable has_room_;
  Overlay active_;    // rows that the journal has and snapshots.db has not
  Overlay flushing_;  // those that a checkpoint is writing: nobody changes them
  std::uint64_t last_sequence_ = 0;
  std::uint64_t installs_ = 0;
};

}  // namespace

std::unique_ptr<Store> open_sqlite_store(const std::filesystem::path& data_dir,
                                         const SqliteOptions& options) {
  try {
    return std::make_unique<SqliteStore>(data_dir, options);
  } catch (const SQLite::Exception& error) {
    throw StoreError{"cannot open the ledger in " + data_dir.string() + ": " + error.what()};
  }
}

}  // namespace credits::persistence
