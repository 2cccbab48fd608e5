#include "persistence/sqlite/store.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <iterator>
#include <mutex>
#include <random>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "actors/base/files.hpp"
#include "actors/ledger/rules.hpp"
#include "persistence/sqlite/directory_lock.hpp"
#include "persistence/sqlite/file.hpp"
#include "persistence/sqlite/journal.hpp"
#include "persistence/sqlite/overlay.hpp"
#include "persistence/sqlite/snapshots.hpp"
#include "persistence/valid_text.hpp"

namespace credits::persistence {

namespace {

// Creates the directory and its missing parents durably. Returns false, with errno, if it cannot.
bool make_directory(const std::filesystem::path& directory) {
  std::error_code error;
  if (std::filesystem::exists(directory, error)) return true;
  if (directory.has_relative_path() && !make_directory(directory.parent_path())) return false;
  if (::mkdir(directory.c_str(), 0700) != 0) return errno == EEXIST;
  base::sync_directory(directory.parent_path());
  return true;
}

const std::filesystem::path& prepare_directory(const std::filesystem::path& directory) {
  const auto whole = std::filesystem::absolute(directory);
  if (!make_directory(whole.has_filename() ? whole : whole.parent_path())) {
    throw StoreError{kind_of_system_error(errno),
                     "cannot make the data directory " + directory.string() + ": " +
                         std::strerror(errno) + "; choose one that this user may create"};
  }
  if (!std::filesystem::is_directory(directory)) {
    throw StoreError{StoreErrorKind::refused,
                     directory.string() + " is not a directory; choose another data directory"};
  }
  return directory;
}

Stamp stamp_of(const StoredRow& stored) {
  return {stored.row.version, stored.hash, stored.last_sequence};
}

// Random, so that a stamp from an earlier opening of the ledger belongs to none of its periods.
std::uint64_t first_period() {
  std::random_device random;
  return (std::uint64_t{random()} << 31U) + 1;
}

// The number of entries that one call of prune() looks at.
constexpr std::size_t forgotten_at_once = 20'000;
constexpr std::size_t pruned_at_once = 2'000;

// The rows of a file, merged with newer ones.
class MergedCursor : public RowCursor {
 public:
  // `newer` is in id order.
  MergedCursor(std::unique_ptr<RowCursor> stored, std::vector<ledger::Row> newer)
      : stored_{std::move(stored)}, newer_{std::move(newer)}, next_stored_{stored_->next()} {}

  std::optional<ledger::Row> next() override {
    const bool has_newer = next_newer_ < newer_.size();
    if (next_stored_ && (!has_newer || next_stored_->install_id < newer_[next_newer_].install_id)) {
      return std::exchange(next_stored_, stored_->next());
    }
    if (!has_newer) return std::nullopt;
    ledger::Row& row = newer_[next_newer_++];
    if (next_stored_ && next_stored_->install_id == row.install_id) next_stored_ = stored_->next();
    return std::move(row);
  }

 private:
  const std::unique_ptr<RowCursor> stored_;
  std::vector<ledger::Row> newer_;
  std::size_t next_newer_ = 0;
  std::optional<ledger::Row> next_stored_;
};

bool is_before(const ledger::Row& a, const ledger::Row& b) { return a.install_id < b.install_id; }

bool matches(const ledger::Row& row, const ListQuery& query) {
  return row.install_id > query.after && row.install_id.starts_with(query.prefix) &&
         (!query.tier || row.tier_snapshot == *query.tier);
}

class SqliteStore : public Store {
 public:
  SqliteStore(const std::filesystem::path& data_dir, const SqliteOptions& options)
      : data_dir_{prepare_directory(data_dir)},
        snapshots_path_{data_dir / snapshots_file},
        options_{options},
        lock_{data_dir},
        journal_{open_journal(data_dir)},
        history_{data_dir / journal_file},
        remembered_{data_dir / journal_file},
        pruning_{data_dir / journal_file},
        writer_{snapshots_path_, journal_.ledger_id()},
        loader_{snapshots_path_},
        guard_{snapshots_path_},
        lister_{snapshots_path_},
        ground_{data_dir, ground_files()} {
    base::sync_directory(data_dir);
    recover();
  }

  // Files that are no longer in place are closed as a crash would leave them.
  ~SqliteStore() override {
    try {
      expect_ground();
    } catch (const StoreError&) {
      writer_.leave_log();
    }
  }

  SqliteStore(const SqliteStore&) = delete;
  SqliteStore& operator=(const SqliteStore&) = delete;

  std::vector<StampedRow> load(std::span<const std::string> ids) override {
    std::vector<StampedRow> rows;
    rows.reserve(ids.size());
    for (const std::string& id : ids) {
      const std::uint64_t known_since = period();  // read before the row
      auto stored = find(id, loader_);
      StampedRow& row = rows.emplace_back();
      if (stored) row = {std::move(stored->row), stamp_of(*stored)};
      row.stamp.period = known_since;
    }
    return rows;
  }

  std::optional<std::vector<ledger::ReplayKey>> replay_keys(const std::string& install_id,
                                                            std::size_t limit) override {
    std::unordered_set<ledger::ReplayKey, ledger::ReplayKeyHash> found;
    {
      const std::lock_guard lock{mutex_};
      for (const PendingRow* pending : pending_of(install_id)) {
        for (const auto& [key, sequence] : pending->replay_keys) found.insert(key);
      }
    }
    if (found.size() <= limit) {
      for (ledger::ReplayKey& key : loader_.replay_keys(install_id, limit + 1))
        found.insert(std::move(key));
    }
    if (found.size() > limit) return std::nullopt;
    return std::vector<ledger::ReplayKey>{found.begin(), found.end()};
  }

  std::vector<std::optional<ledger::Entry>> recall(
      const std::string& install_id, std::span<const ledger::ReplayKey> replay_keys) override {
    std::vector<std::optional<ledger::Entry>> entries;
    entries.reserve(replay_keys.size());
    for (const ledger::ReplayKey& key : replay_keys) {
      entries.push_back(recall(install_id, key));
    }
    return entries;
  }

  std::vector<Appended> append(std::span<const Mutation> mutations) override {
    wait_for_room();
    Plan plan = plan_append(mutations);
    if (!plan.records.empty()) journal_.append(plan.records);
    // After the write, which may have gone into a removed file.
    if (const auto removed = ground_.find_removed()) give_up(*removed);
    publish(mutations, plan);
    ensure_answered(mutations, plan.appended);
    return std::move(plan.appended);
  }

  bool import(std::span<const Mutation> mutations) override {
    expect_valid_text(mutations);
    return Store::import(mutations);
  }

  void ping() override {
    journal_.expect_unbroken();
    expect_ground();
  }

  void probe_write() override { journal_.probe(); }

  std::vector<ledger::Row> list(const ListQuery& query) override {
    const std::lock_guard one_at_a_time{checkpoint_mutex_};
    return try_checkpoint() ? lister_.list(query) : merged_page(query);
  }

  std::vector<ledger::Entry> entries(const std::string& install_id, std::uint64_t before_version,
                                     std::size_t limit) override {
    const auto stored = find(install_id, lister_);
    if (!stored) return {};
    return history_.entries(install_id, stored->last_sequence, before_version, limit);
  }

  std::unique_ptr<RowCursor> snapshot() override {
    const std::lock_guard one_at_a_time{checkpoint_mutex_};
    const bool is_complete = try_checkpoint();
    auto cursor = std::make_unique<SnapshotCursor>(snapshots_path_, options_.snapshot_hold_max);
    expect_ground();  // the file was opened by its name
    if (is_complete) return cursor;
    return std::make_unique<MergedCursor>(std::move(cursor), pending_rows_in_order());
  }

  void checkpoint() override {
    const std::lock_guard one_at_a_time{checkpoint_mutex_};
    write_pending();
  }

  bool prune(const Horizon& horizon) override {
    const std::lock_guard one_at_a_time{checkpoint_mutex_};
    bool has_more = false;
    try {
      has_more = prune_part(horizon);
    } catch (const StoreError& error) {
      // The logs may fill the disk.
      if (error.kind() == StoreErrorKind::full) try_to_shrink_logs();
      throw;
    }
    if (!has_more) shrink_logs();
    return has_more;
  }

  std::uint64_t installs() override {
    const std::lock_guard lock{mutex_};
    return installs_;
  }

  std::uint64_t pending_rows() override {
    const std::lock_guard lock{mutex_};
    return overlay_size();
  }

  std::optional<ledger::Time> newest_time() override { return history_.newest_time(); }

  std::string_view engine() const override { return "sqlite"; }

 private:
  // How far names have been forgotten, and whether more can be.
  struct Forgotten {
    std::uint64_t sequence = 0;
    bool more = false;
  };

  // The plan of an append for one install.
  struct Planned {
    const std::string& id;
    Stamp newest;                       // including the planned entries
    std::uint64_t version = 0;          // including mutations that will not be stored
    Outcome outcome = Outcome::stored;  // of its next mutation
    PendingRow* pending = nullptr;      // set when its first mutation is published
  };

  // The plan of a whole append.
  struct Plan {
    std::vector<Planned> installs;
    std::vector<std::size_t> install_of;  // for each mutation: its place in installs
    std::vector<Appended> appended;
    std::vector<JournalRecord> records;
  };

  // A file without its log lacks the newest writes; without the log's index, two processes do not
  // notice each other.
  static std::vector<std::string> ground_files() {
    std::vector<std::string> files{lock_file};
    for (const char* file : {journal_file, snapshots_file}) {
      for (const char* suffix : {"", "-wal", "-shm"}) files.push_back(std::string{file} + suffix);
    }
    return files;
  }

  void expect_ground() {
    if (const auto loss = ground_.find_loss()) give_up(*loss);
  }

  [[noreturn]] void give_up(const std::string& loss) {
    journal_.give_up(loss +
                     " while the ledger was open, and nothing more is stored; put the data "
                     "directory back, or restore it from a backup, and start again");
  }

  static std::vector<const PendingRow*> sorted(const Overlay& overlay) {
    std::vector<const PendingRow*> rows;
    rows.reserve(overlay.size());
    for (const auto& pending : overlay) rows.push_back(pending.get());
    std::sort(rows.begin(), rows.end(), [](const PendingRow* a, const PendingRow* b) {
      return a->stored.row.install_id < b->stored.row.install_id;
    });
    return rows;
  }

  // Makes a checkpoint. The caller holds checkpoint_mutex_.
  void write_pending() {
    Progress progress;
    {
      const std::lock_guard lock{mutex_};
      if (active_.empty()) return;
      flushing_ = std::exchange(active_, {});
      active_replay_keys_ = 0;
      ++period_;
      progress = {last_sequence_, installs_};
    }
    try {
      writer_.write(sorted(flushing_), progress);
    } catch (...) {
      take_back_flushing();
      throw;
    }
    Overlay written;
    {
      const std::lock_guard lock{mutex_};
      written = std::exchange(flushing_, {});
      first_period_in_memory_ = period_;
    }
    has_room_.notify_all();
  }

  // A failed checkpoint does not prevent reading.
  bool try_checkpoint() {
    try {
      write_pending();
      return true;
    } catch (const StoreError&) {
      return false;
    }
  }

  // The rows that the snapshots lack.
  std::vector<ledger::Row> pending_rows_in_order() {
    std::vector<ledger::Row> rows;
    {
      const std::lock_guard lock{mutex_};
      rows.reserve(active_.size());
      for (const auto& pending : active_) rows.push_back(pending->stored.row);
    }
    std::sort(rows.begin(), rows.end(), is_before);
    return rows;
  }

  // A page of the rows that the snapshots have and those that they lack.
  std::vector<ledger::Row> merged_page(const ListQuery& query) {
    std::vector<ledger::Row> stored;
    ListQuery next = query;
    while (true) {
      std::vector<ledger::Row> part = lister_.list(next);
      const bool has_more = !part.empty() && part.size() == query.limit;
      if (has_more) next.after = part.back().install_id;
      std::move(part.begin(), part.end(), std::back_inserter(stored));
      if (auto page = merged(stored, has_more, query)) return *std::move(page);
    }
  }

  // Nullopt if the page needs more of `stored`.
  std::optional<std::vector<ledger::Row>> merged(const std::vector<ledger::Row>& stored,
                                                 bool has_more, const ListQuery& query) {
    const std::lock_guard lock{mutex_};
    std::vector<const ledger::Row*> rows;
    for (const ledger::Row& row : stored) {
      if (active_.find(row.install_id) == nullptr) rows.push_back(&row);
    }
    if (has_more && rows.size() < query.limit) return std::nullopt;
    for (const auto& pending : active_) {
      if (matches(pending->stored.row, query)) rows.push_back(&pending->stored.row);
    }
    const auto end = rows.begin() + static_cast<std::ptrdiff_t>(std::min(rows.size(), query.limit));
    std::partial_sort(rows.begin(), end, rows.end(),
                      [](const auto* a, const auto* b) { return is_before(*a, *b); });
    std::vector<ledger::Row> page;
    for (auto row = rows.begin(); row != end; ++row) page.push_back(**row);
    return page;
  }

  bool prune_part(const Horizon& horizon) {
    const ledger::Time ahead_from = ahead_of_clock(horizon);
    const Forgotten forgotten = forget_replay_keys(horizon.replay_keys_before, ahead_from);
    const auto is_remembered = [&](const JournalRecord& record) {
      return (record.sequence > forgotten.sequence ||
              record.entry.at >= horizon.replay_keys_before) &&
             !ledger::replay_keys_of(record.entry).empty();
    };
    const auto report_once = [this](const std::string& id, const StoreError& error) {
      if (!reported_damaged_.insert(id).second) return;
      report("install_damaged", std::string{"damaged entries are not pruned: "} + error.what());
    };
    if (looked_through_ == 0) looked_through_ = journal_.pruned_sequence();
    const Pruned aged = journal_.prune(
        looked_through_, pruned_at_once,
        [&](const JournalRecord& record) {
          if (record.entry.at >= horizon.entries_before) {
            return record.entry.at >= ahead_from ? Fate::stays : Fate::ends;
          }
          return is_remembered(record) ? Fate::stays : Fate::goes;
        },
        report_once);
    looked_through_ = aged.sequence;
    // Looks at kept entries again: when their names have been forgotten, and then daily.
    const ledger::Time now = horizon.replay_keys_before + ledger::replay_keys_remembered_for;
    if (horizon.replay_keys_before >= look_anew_at_ ||
        now < look_anew_at_) {  // or the clock was set back
      looked_again_through_ = 0;
      look_anew_at_ = now;
    }
    std::vector<OldReplayKey> gone;  // of entries that were dated ahead
    const Pruned again = journal_.prune(
        looked_again_through_, pruned_at_once,
        [&](const JournalRecord& record) {
          if (record.sequence > std::min(forgotten.sequence, looked_through_)) return Fate::ends;
          const bool is_old = record.entry.at < horizon.entries_before;
          if (!is_old || is_remembered(record)) return Fate::stays;
          for (ledger::ReplayKey& key : ledger::replay_keys_of(record.entry)) {
            gone.push_back({record.install_id, std::move(key), record.sequence});
          }
          return Fate::goes;
        },
        report_once);
    looked_again_through_ = again.sequence;
    if (!gone.empty()) writer_.forget(gone, forgotten.sequence);
    return forgotten.more || aged.has_more || again.has_more;
  }

  void try_to_shrink_logs() {
    try {
      shrink_logs();
    } catch (const StoreError&) {
      // The caller reports the reason.
    }
  }

  // Shrinks logs that grew during a long read, even if nothing is written to them any more.
  void shrink_logs() {
    expect_ground();  // a connection is opened by the file's name
    for (const char* file : {journal_file, snapshots_file}) {
      if (is_log_large(data_dir_ / file)) empty_log(data_dir_ / file);
    }
    journal_.shrink_log();
    writer_.shrink_log();
  }

  // Rows that could not be written wait for the next checkpoint. Those in active_ are newer.
  void take_back_flushing() {
    const std::lock_guard lock{mutex_};
    for (const auto& pending : flushing_) {
      PendingRow& active = active_.at(pending->stored.row.install_id);
      if (active.stored.row.version == 0) active.stored = pending->stored;
      const std::size_t had = active.replay_keys.size();
      active.replay_keys.merge(pending->replay_keys);
      active_replay_keys_ += active.replay_keys.size() - had;
    }
    flushing_ = {};
  }

  // Entries from this time on are dated ahead, by a clock that has been set back since; later
  // entries do not wait for them. If the newest entry is dated ahead too, the clock itself is
  // behind, and no entry counts as dated ahead.
  ledger::Time ahead_of_clock(const Horizon& horizon) {
    const auto from = std::max(horizon.entries_before,
                               horizon.replay_keys_before + ledger::replay_keys_remembered_for);
    bool is_behind = false;
    pruning_.visit_after(std::max<std::uint64_t>(newest_sequence(), 1) - 1,
                         [&](const JournalRecord& newest) {
                           is_behind = newest.entry.at >= from;
                           return false;
                         });
    return is_behind ? ledger::Time::max() : from;
  }

  std::uint64_t newest_sequence() {
    const std::lock_guard lock{mutex_};
    return last_sequence_;
  }

  // Forgets the names of the oldest entries, up to the first that is not before `before` or not yet
  // in the snapshots, as its names would be written later. Names of entries dated ahead stay.
  Forgotten forget_replay_keys(ledger::Time before, ledger::Time ahead_from) {
    const Progress progress = writer_.progress();
    std::uint64_t forgotten = progress.forgotten_sequence;
    std::size_t visited = 0;
    std::vector<OldReplayKey> old;
    pruning_.visit_after(forgotten, [&](const JournalRecord& record) {
      if (visited == forgotten_at_once || record.sequence > progress.sequence) return false;
      const bool is_old = record.entry.at < before;
      if (!is_old && record.entry.at < ahead_from && !is_damaged(record)) return false;
      for (ledger::ReplayKey& key : ledger::replay_keys_of(record.entry)) {
        if (is_old) old.push_back({record.install_id, std::move(key), record.sequence});
      }
      forgotten = record.sequence;
      ++visited;
      return true;
    });
    if (visited > 0) writer_.forget(old, forgotten);
    return {forgotten, visited == forgotten_at_once};
  }

  // A damaged entry's time must not keep later names for ever.
  bool is_damaged(const JournalRecord& record) {
    try {
      history_.entry(record.install_id, record.sequence);
      return false;
    } catch (const StoreError& error) {
      if (error.kind() != StoreErrorKind::damaged) throw;
      return true;
    }
  }

  Journal open_journal(const std::filesystem::path& data_dir) const {
    const auto path = data_dir / journal_file;
    if (std::filesystem::exists(snapshots_path_) && !std::filesystem::exists(path)) {
      throw StoreError{StoreErrorKind::refused, path.string() + " is missing, but " +
                                                    snapshots_path_.string() +
                                                    " is there; restore both from a backup"};
    }
    expect_own_files(data_dir);
    return Journal{path, random_ledger_id()};
  }

  // The parts of an install that the snapshots do not have yet, newest first. Valid while mutex_ is
  // held.
  std::vector<const PendingRow*> pending_of(const std::string& id) const {
    std::vector<const PendingRow*> pending;
    for (const Overlay* overlay : {&active_, &flushing_}) {
      if (const PendingRow* const found = overlay->find(id)) pending.push_back(found);
    }
    return pending;
  }

  // The newest of these; null if the snapshots have everything.
  const PendingRow* newest_pending(const std::string& id) const {
    for (const Overlay* overlay : {&active_, &flushing_}) {
      if (const PendingRow* const found = overlay->find(id)) return found;
    }
    return nullptr;
  }

  std::optional<StoredRow> find(const std::string& id, SnapshotReader& reader) {
    {
      const std::lock_guard lock{mutex_};
      if (const PendingRow* const pending = newest_pending(id)) return pending->stored;
    }
    return reader.load(id);
  }

  std::optional<std::uint64_t> find(const std::string& id, const ledger::ReplayKey& key) {
    {
      const std::lock_guard lock{mutex_};
      for (const PendingRow* pending : pending_of(id)) {
        const auto found = pending->replay_keys.find(key);
        if (found != pending->replay_keys.end()) return found->second;
      }
    }
    return loader_.find(id, key);
  }

  std::optional<ledger::Entry> recall(const std::string& id, const ledger::ReplayKey& key) {
    const auto sequence = find(id, key);
    auto entry = sequence ? remembered_.entry(id, *sequence) : std::nullopt;
    if (!entry) return entry;
    const auto replay_keys = ledger::replay_keys_of(*entry);
    if (std::find(replay_keys.begin(), replay_keys.end(), key) != replay_keys.end()) return entry;
    throw to_damaged_error(snapshots_path_, install_in_words(id),
                           "\"" + key.text + "\" leads to an entry of another name");
  }

  void wait_for_room() {
    std::unique_lock lock{mutex_};
    const bool has_room = has_room_.wait_for(lock, options_.overlay_wait_max, [this] {
      return overlay_size() < options_.overlay_rows_max;
    });
    if (!has_room) {
      throw StoreError{StoreErrorKind::unavailable,
                       snapshots_path_.string() + " lags too far behind the journal"};
    }
  }

  // A name takes about as much memory as a row.
  std::size_t overlay_size() const { return active_.size() + active_replay_keys_; }

  std::uint64_t period() {
    const std::lock_guard lock{mutex_};
    return period_;
  }

  Plan plan_append(std::span<const Mutation> mutations) {
    Plan plan;
    group_by_install(mutations, plan);
    compare_stamps(plan);
    chain(mutations, plan);
    return plan;
  }

  static void group_by_install(std::span<const Mutation> mutations, Plan& plan) {
    std::unordered_map<std::string_view, std::size_t> places;
    places.reserve(mutations.size());
    plan.installs.reserve(mutations.size());
    plan.install_of.reserve(mutations.size());
    for (const Mutation& mutation : mutations) {
      const std::string& id = mutation.after.install_id;
      const auto [place, is_new] = places.try_emplace(id, plan.installs.size());
      if (is_new) {
        expect_possible(mutation.follows);
        plan.installs.push_back({id, mutation.follows, mutation.follows.version});
      }
      plan.install_of.push_back(place->second);
    }
  }

  // Checks that each install's first mutation follows its newest stamp. Reads the file only for an
  // install that was neither loaded nor written since the last checkpoint.
  void compare_stamps(Plan& plan) {
    std::vector<Planned*> on_file;
    {
      const std::lock_guard lock{mutex_};
      for (Planned& install : plan.installs) {
        if (const PendingRow* const pending = newest_pending(install.id)) {
          const bool is_newest = stamp_of(pending->stored) == install.newest;
          if (!is_newest) install.outcome = Outcome::conflict;
        } else if (!is_known_newest(install.newest)) {
          on_file.push_back(&install);
        }
      }
    }
    if (on_file.empty()) return;
    guard_.at_once([&] {
      for (Planned* install : on_file) install->outcome = outcome_on_file(*install);
    });
  }

  // For an install with nothing pending: whether this must still be its newest stamp.
  bool is_known_newest(const Stamp& stamp) const {
    return stamp.period >= first_period_in_memory_ && stamp.period <= period_;
  }

  Outcome outcome_on_file(const Planned& install) {
    try {
      const auto stored = guard_.load(install.id);
      const Stamp newest = stored ? stamp_of(*stored) : Stamp{};
      return newest == install.newest ? Outcome::stored : Outcome::conflict;
    } catch (const StoreError& error) {
      if (error.kind() != StoreErrorKind::damaged) throw;
      return Outcome::damaged;
    }
  }

  void chain(std::span<const Mutation> mutations, Plan& plan) {
    plan.appended.reserve(mutations.size());
    plan.records.reserve(mutations.size());
    std::uint64_t sequence = last_sequence_;  // only this thread changes it
    for (std::size_t i = 0; i < mutations.size(); ++i) {
      const Mutation& mutation = mutations[i];
      Planned& install = plan.installs[plan.install_of[i]];
      expect_gapless(mutation, install.version);
      install.version = mutation.after.version;
      if (install.outcome == Outcome::stored && is_refused(mutation)) {
        install.outcome = Outcome::damaged;
      }
      if (install.outcome != Outcome::stored) {
        plan.appended.push_back({install.outcome});
        continue;
      }
      Stamp& newest = install.newest;
      for (const ledger::Entry& entry : mutation.entries) {
        CREDITS_EXPECTS(entry.version == newest.version + 1 && newest.sequence <= sequence);
        const Hash hash = hasher_(newest.hash, install.id, entry);
        plan.records.push_back({++sequence, newest.sequence, install.id, entry, hash});
        newest = {entry.version, hash, sequence};
      }
      plan.appended.push_back({Outcome::stored, newest});
    }
  }

  // Text that a database could not store is refused by every engine.
  bool is_refused(const Mutation& mutation) const {
    const auto fault = find_invalid_text(mutation);
    if (fault) report("install_damaged", *fault);
    return fault.has_value();
  }

  // Makes the entries that are now in the journal visible.
  void publish(std::span<const Mutation> mutations, Plan& plan) {
    const std::lock_guard lock{mutex_};
    auto record = plan.records.begin();
    for (std::size_t i = 0; i < mutations.size(); ++i) {
      if (plan.appended[i].outcome != Outcome::stored) continue;
      const auto& [after, entries, follows] = mutations[i];
      Planned& install = plan.installs[plan.install_of[i]];
      if (install.pending == nullptr) install.pending = &active_.at(install.id);
      PendingRow& pending = *install.pending;
      for (std::size_t n = 0; n < entries.size(); ++n) add_names(*record++, pending);
      if (after.version == install.newest.version) store(after, install.newest, pending.stored);
      if (entries.front().version == 1) ++installs_;
    }
    if (!plan.records.empty()) last_sequence_ = plan.records.back().sequence;
  }

  // Assigns each member, so that the strings reuse their memory.
  static void store(const ledger::Row& row, const Stamp& stamp, StoredRow& stored) {
    CREDITS_EXPECTS(row.version == stamp.version && stamp.sequence > stored.last_sequence);
    stored.row = row;
    stored.last_sequence = stamp.sequence;
    stored.hash = stamp.hash;
  }

  void add_names(const JournalRecord& record, PendingRow& pending) {
    for (ledger::ReplayKey& key : ledger::replay_keys_of(record.entry)) {
      const auto [found, is_new] =
          pending.replay_keys.insert_or_assign(std::move(key), record.sequence);
      if (is_new) ++active_replay_keys_;
    }
  }

  // Brings the rows from the state of the snapshots to that of the journal.
  void recover() {
    if (writer_.ledger_id() != journal_.ledger_id()) {
      throw StoreError{StoreErrorKind::refused,
                       "journal.db and snapshots.db in " + data_dir_.string() +
                           " belong to different ledgers; restore both from one backup"};
    }
    const Progress progress = writer_.progress();
    const std::uint64_t journal_end = journal_.last_sequence();
    if (journal_end < progress.sequence) {
      throw StoreError{
          StoreErrorKind::refused,
          "journal.db in " + data_dir_.string() + " ends at entry " + std::to_string(journal_end) +
              ", but snapshots.db has seen entry " + std::to_string(progress.sequence) +
              "; entries are lost, restore a backup, or, to go on from this journal.db, "
              "remove snapshots.db, snapshots.db-wal and snapshots.db-shm"};
    }
    expect_one_history(progress);
    if (journal_.is_log_missing()) {
      report("log_missing", missing_log_in_words(data_dir_ / journal_file));
    }
    journal_.expect_writable();
    writer_.expect_writable();
    last_sequence_ = progress.sequence;
    installs_ = progress.installs;
    JournalReader journal{data_dir_ / journal_file};
    const std::uint64_t pruned = journal.pruned_sequence();
    const std::uint64_t first = std::max(progress.sequence, pruned);
    ReplayClock clock{options_, journal_end - first};
    // Rows that a power cut undid, or that were lost, may need entries that are pruned by now.
    if (pruned > progress.sequence) {
      journal.visit_baselines([&](StoredRow baseline) {
        restore(std::move(baseline));
        keep_replayed(0, clock);
      });
    }
    std::unordered_set<std::string> damaged;
    journal.visit_after(progress.sequence, [&](const JournalRecord& record) {
      if (!damaged.contains(record.install_id) && !replay(record)) {
        damaged.insert(record.install_id);
      }
      last_sequence_ = record.sequence;
      keep_replayed(record.sequence - std::min(first, record.sequence), clock);
      return true;
    });
    last_sequence_ = journal_end;
  }

  // The two files of a ledger have diverged if one was restored without the other.
  void expect_one_history(const Progress& progress) {
    if (progress.sequence == 0 || agree_at(progress.sequence)) return;
    throw StoreError{
        StoreErrorKind::refused,
        snapshots_path_.string() + " has seen another entry " + std::to_string(progress.sequence) +
            " than journal.db in " + data_dir_.string() +
            " has; remove snapshots.db, snapshots.db-wal and snapshots.db-shm, and the start "
            "creates them from journal.db"};
  }

  // Whether the journal's entry at the snapshots' mark led to the row in the snapshots. Assumed if
  // the entry is pruned or damaged.
  bool agree_at(std::uint64_t sequence) {
    bool agree = true;
    try {
      pruning_.visit_after(sequence - 1, [&](const JournalRecord& record) {
        if (record.sequence != sequence || is_damaged(record)) return false;
        const auto row = guard_.load(record.install_id);
        const bool is_newer = row && row->last_sequence > sequence;  // a baseline
        agree = is_newer || (row && row->last_sequence == sequence && row->hash == record.hash);
        return false;
      });
    } catch (const StoreError&) {
      // A call that needs the row reports it.
    }
    return agree;
  }

  // The times of the next report and the next checkpoint of a replay.
  struct ReplayClock {
    using Clock = std::chrono::steady_clock;

    ReplayClock(const SqliteOptions& options, std::uint64_t entries)
        : total{entries},
          report_at{Clock::now() + options.replay_report_interval},
          checkpoint_at{Clock::now() + options.replay_checkpoint_interval} {}

    const std::uint64_t total;
    Clock::time_point report_at;
    Clock::time_point checkpoint_at;
  };

  void keep_replayed(std::uint64_t replayed, ReplayClock& clock) {
    const auto now = ReplayClock::Clock::now();
    if (overlay_size() >= options_.overlay_rows_max) {
      checkpoint();
    } else if (now >= clock.checkpoint_at) {
      try_to_keep_replayed();
      // Counted from the end of the checkpoint, so that a slow disk does not take most of the time.
      clock.checkpoint_at = ReplayClock::Clock::now() + options_.replay_checkpoint_interval;
    }
    if (now < clock.report_at || !options_.report_replay) return;
    options_.report_replay(replayed, clock.total);
    clock.report_at = ReplayClock::Clock::now() + options_.replay_report_interval;
  }

  // A start needs no room on the disk as long as the rows fit in memory.
  void try_to_keep_replayed() {
    const std::lock_guard one_at_a_time{checkpoint_mutex_};
    try_checkpoint();
  }

  void restore(StoredRow baseline) {
    const auto stored = find(baseline.row.install_id, guard_);
    if (stored && stored->last_sequence >= baseline.last_sequence) return;
    {
      const std::lock_guard lock{mutex_};
      if (!stored) ++installs_;
      active_.at(baseline.row.install_id).stored = std::move(baseline);
    }
  }

  // The row that the entry changes; nullopt if the row is damaged. The replay then skips the
  // install, and every later call for it reports the damage.
  std::optional<StoredRow> row_to_replay_on(const std::string& id) {
    try {
      return find(id, guard_).value_or(StoredRow{});
    } catch (const StoreError& error) {
      if (error.kind() != StoreErrorKind::damaged) throw;
      report("install_damaged", error.what());
      return std::nullopt;
    }
  }

  void report(std::string_view name, const std::string& text) const {
    if (options_.report) options_.report(name, text);
  }

  // Applies the entry to its row. Returns false if the row is damaged.
  bool replay(const JournalRecord& record) {
    auto found = row_to_replay_on(record.install_id);
    if (!found) return false;
    StoredRow& stored = *found;
    stored.row.install_id = record.install_id;
    try {
      if (record.previous_sequence != stored.last_sequence) {
        throw std::invalid_argument{"it does not follow the entry before it"};
      }
      ledger::apply(stored.row, record.entry);
      if (!hasher_.fits(record.hash, stored.hash, record.install_id, record.entry)) {
        throw std::invalid_argument{"it is damaged, as its hash shows"};
      }
    } catch (const std::invalid_argument& error) {
      throw StoreError{
          StoreErrorKind::refused,
          "journal.db in " + data_dir_.string() + ": entry " + std::to_string(record.sequence) +
              ", version " + std::to_string(record.entry.version) + " of install \"" +
              record.install_id + "\": " + error.what() + "; restore the ledger from a backup"};
    }
    stored.last_sequence = record.sequence;
    stored.hash = record.hash;
    {
      const std::lock_guard lock{mutex_};
      if (stored.row.version == 1) ++installs_;
      PendingRow& pending = active_.at(record.install_id);
      pending.stored = std::move(stored);
      add_names(record, pending);
    }
    return true;
  }

  const std::filesystem::path data_dir_;
  const std::filesystem::path snapshots_path_;
  const SqliteOptions options_;
  const DirectoryLock lock_;
  Journal journal_;
  JournalReader history_;     // for operators, and for prune()
  JournalReader remembered_;  // for recall(), so that it does not wait for operators
  JournalReader pruning_;     // for prune(), and for recovery
  SnapshotWriter writer_;     // guarded by checkpoint_mutex_
  SnapshotReader loader_;     // for the loader: load(), replay_keys(), recall()
  SnapshotReader guard_;      // for append() and recovery, so that they do not wait for readers
  SnapshotReader lister_;     // for operators
  const Ground ground_;
  Hasher hasher_;  // of the thread that appends; recovery comes before it

  std::mutex checkpoint_mutex_;
  std::unordered_set<std::string>
      reported_damaged_;  // guarded by checkpoint_mutex_; used by prune()
  // How far prune() has looked; guarded by checkpoint_mutex_.
  std::uint64_t looked_through_ = 0;
  std::uint64_t looked_again_through_ = 0;
  ledger::Time look_anew_at_{};
  std::mutex mutex_;  // guards all members below; never held during disk I/O
  std::condition_variable has_room_;
  Overlay active_;  // rows that are in the journal but not in snapshots.db
  std::size_t active_replay_keys_ = 0;
  Overlay flushing_;  // rows that a checkpoint is writing; they do not change
  // Each checkpoint begins a period. The overlays have every row written since the beginning of
  // first_period_in_memory_.
  std::uint64_t period_ = first_period();
  std::uint64_t first_period_in_memory_ = period_;
  std::uint64_t last_sequence_ = 0;
  std::uint64_t installs_ = 0;
};

}  // namespace

std::unique_ptr<Store> open_sqlite_store(const std::filesystem::path& data_dir,
                                         const SqliteOptions& options) {
  try {
    return std::make_unique<SqliteStore>(data_dir, options);
  } catch (const SQLite::Exception& error) {
    throw StoreError{kind_of(error),
                     "cannot open the ledger in " + data_dir.string() + ": " + error.what()};
  }
}

}  // namespace credits::persistence
