#include "tests/memory_store.hpp"

#include <algorithm>
#include <utility>

namespace credits::persistence {

namespace {

class MemoryCursor : public RowCursor {
 public:
  explicit MemoryCursor(std::vector<ledger::Row> rows) : rows_{std::move(rows)} {}

  std::optional<ledger::Row> next() override {
    if (next_ == rows_.size()) return std::nullopt;
    return rows_[next_++];
  }

 private:
  std::vector<ledger::Row> rows_;
  std::size_t next_ = 0;
};

bool take_one(std::size_t& faults) {
  if (faults == 0) return false;
  --faults;
  return true;
}

}  // namespace

std::vector<StampedRow> MemoryStore::load(std::span<const std::string> ids) {
  const std::lock_guard lock{mutex_};
  fail_read_on_command();
  std::vector<StampedRow> rows;
  for (const std::string& id : ids) {
    expect_whole(id);
    const auto found = installs_.find(id);
    rows.push_back(found == installs_.end() ? StampedRow{}
                                            : StampedRow{found->second.row, found->second.stamp});
  }
  return rows;
}

void MemoryStore::fail_read_on_command() {
  if (take_one(loads_to_fail_))
    throw StoreError{StoreErrorKind::unavailable, "memory store: a read fails on command"};
}

void MemoryStore::expect_whole(const std::string& install_id) const {
  if (!damaged_installs_.contains(install_id)) return;
  throw StoreError{StoreErrorKind::damaged,
                   "memory store: install \"" + install_id + "\" is damaged"};
}

std::optional<std::vector<ledger::ReplayKey>> MemoryStore::replay_keys(
    const std::string& install_id, std::size_t limit) {
  const std::lock_guard lock{mutex_};
  fail_read_on_command();
  std::vector<ledger::ReplayKey> replay_keys;
  const auto found = installs_.find(install_id);
  if (found == installs_.end()) return replay_keys;
  for (const auto& [key, version] : found->second.replay_keys) replay_keys.push_back(key);
  return replay_keys.size() > limit ? std::nullopt : std::optional{std::move(replay_keys)};
}

std::vector<std::optional<ledger::Entry>> MemoryStore::recall(
    const std::string& install_id, std::span<const ledger::ReplayKey> replay_keys) {
  const std::lock_guard lock{mutex_};
  fail_read_on_command();
  std::vector<std::optional<ledger::Entry>> recalled(replay_keys.size());
  const auto found = installs_.find(install_id);
  if (found == installs_.end()) return recalled;
  const Install& install = found->second;
  for (std::size_t i = 0; i < replay_keys.size(); ++i) {
    const auto version = install.replay_keys.find(replay_keys[i]);
    if (version == install.replay_keys.end()) continue;
    recalled[i] = install.entries[version->second - install.entries.front().version];
  }
  return recalled;
}

std::vector<Appended> MemoryStore::append(std::span<const Mutation> mutations) {
  std::unique_lock lock{mutex_};
  is_holding_ = holds_appends_;
  held_or_released_.notify_all();
  held_or_released_.wait(lock, [this] { return !holds_appends_; });
  is_holding_ = false;
  if (take_one(appends_to_fail_))
    throw StoreError{StoreErrorKind::unavailable, "memory store: append fails on command"};
  std::vector<Appended> appended;
  std::map<std::string, std::pair<Outcome, std::uint64_t>> installs;  // with the version reached
  for (const Mutation& mutation : mutations) {
    const std::string& id = mutation.after.install_id;
    const auto [found, is_first] = installs.try_emplace(id);
    auto& [outcome, version] = found->second;
    if (is_first) expect_possible(mutation.follows);
    if (is_first) found->second = {outcome_of(id, mutation.follows), mutation.follows.version};
    expect_gapless(mutation, version);
    version = mutation.after.version;
    appended.push_back({outcome, outcome == Outcome::stored ? store(mutation) : Stamp{}});
  }
  if (std::exchange(fails_after_storing_, false)) {
    throw StoreError{StoreErrorKind::unavailable,
                     "memory store: the outcome of the append is unknown, on command"};
  }
  ensure_answered(mutations, appended);
  return appended;
}

Stamp MemoryStore::newest(const std::string& install_id) const {
  const auto found = installs_.find(install_id);
  return found == installs_.end() ? Stamp{} : found->second.stamp;
}

Outcome MemoryStore::outcome_of(const std::string& install_id, const Stamp& follows) const {
  if (damaged_installs_.contains(install_id)) return Outcome::damaged;
  if (held_installs_.contains(install_id)) return Outcome::busy;
  return newest(install_id) == follows ? Outcome::stored : Outcome::conflict;
}

bool MemoryStore::import(std::span<const Mutation> mutations) {
  {
    const std::lock_guard lock{mutex_};
    if (!installs_.empty()) return false;
  }
  append(mutations);
  return true;
}

Stamp MemoryStore::store(const Mutation& mutation) {
  const std::string& id = mutation.after.install_id;
  Install& install = installs_[id];
  install.row = mutation.after;
  newest_time_ = mutation.entries.back().at;
  for (const ledger::Entry& entry : mutation.entries) {
    install.stamp = {entry.version, hasher_(install.stamp.hash, id, entry)};
    install.entries.push_back(entry);
    for (ledger::ReplayKey& key : ledger::replay_keys_of(entry)) {
      install.replay_keys.insert_or_assign(std::move(key), entry.version);
    }
  }
  return install.stamp;
}

std::vector<bool> MemoryStore::are_current(std::span<const Seen> seen) {
  const std::lock_guard lock{mutex_};
  fail_read_on_command();
  std::vector<bool> current;
  for (const Seen& one : seen) current.push_back(newest(one.install_id) == one.stamp);
  return current;
}

void MemoryStore::probe_write() {
  const std::lock_guard lock{mutex_};
  if (appends_to_fail_ > 0)
    throw StoreError{StoreErrorKind::unavailable, "memory store: append fails on command"};
}

std::vector<ledger::Row> MemoryStore::list(const ListQuery& query) {
  const std::lock_guard lock{mutex_};
  std::vector<ledger::Row> rows;
  for (auto next = installs_.upper_bound(query.after);
       next != installs_.end() && rows.size() < query.limit; ++next) {
    const ledger::Row& row = next->second.row;
    if (!row.install_id.starts_with(query.prefix)) continue;
    if (query.tier && row.tier_snapshot != *query.tier) continue;
    rows.push_back(row);
  }
  return rows;
}

std::vector<ledger::Entry> MemoryStore::entries(const std::string& install_id,
                                                std::uint64_t before_version, std::size_t limit) {
  const std::lock_guard lock{mutex_};
  std::vector<ledger::Entry> page;
  const auto found = installs_.find(install_id);
  if (found == installs_.end()) return page;
  const auto& all = found->second.entries;
  for (auto entry = all.rbegin(); entry != all.rend() && page.size() < limit; ++entry) {
    if (entry->version < before_version) page.push_back(*entry);
  }
  return page;
}

std::unique_ptr<RowCursor> MemoryStore::snapshot() {
  const std::lock_guard lock{mutex_};
  std::vector<ledger::Row> rows;
  for (const auto& [id, install] : installs_) rows.push_back(install.row);
  return std::make_unique<MemoryCursor>(std::move(rows));
}

bool MemoryStore::prune(const Horizon& horizon) {
  const std::lock_guard lock{mutex_};
  for (auto& [id, install] : installs_) {
    std::erase_if(install.replay_keys, [&, &entries = install.entries](const auto& key) {
      return entries[key.second - entries.front().version].at < horizon.replay_keys_before;
    });
    const auto is_remembered = [&replay_keys = install.replay_keys](std::uint64_t version) {
      return std::any_of(replay_keys.begin(), replay_keys.end(),
                         [&](const auto& key) { return key.second == version; });
    };
    while (!install.entries.empty() && install.entries.front().at < horizon.entries_before &&
           !is_remembered(install.entries.front().version)) {
      install.entries.pop_front();
    }
  }
  return false;
}

std::uint64_t MemoryStore::installs() {
  const std::lock_guard lock{mutex_};
  return installs_.size();
}

std::optional<ledger::Time> MemoryStore::newest_time() {
  const std::lock_guard lock{mutex_};
  return newest_time_;
}

void MemoryStore::fail_appends(std::size_t count) {
  const std::lock_guard lock{mutex_};
  appends_to_fail_ = count;
}

void MemoryStore::fail_append_after_storing() {
  const std::lock_guard lock{mutex_};
  fails_after_storing_ = true;
}

void MemoryStore::fail_loads(std::size_t count) {
  const std::lock_guard lock{mutex_};
  loads_to_fail_ = count;
}

void MemoryStore::hold_install(const std::string& id) {
  const std::lock_guard lock{mutex_};
  held_installs_.insert(id);
}

void MemoryStore::let_go_of_install(const std::string& id) {
  const std::lock_guard lock{mutex_};
  held_installs_.erase(id);
}

void MemoryStore::damage_install(const std::string& id) {
  const std::lock_guard lock{mutex_};
  damaged_installs_.insert(id);
}

void MemoryStore::keep() {
  const std::lock_guard lock{mutex_};
  kept_ = installs_;
}

void MemoryStore::go_back() {
  const std::lock_guard lock{mutex_};
  installs_ = kept_;
}

Stamp MemoryStore::stamp(const std::string& id) {
  const std::lock_guard lock{mutex_};
  return newest(id);
}

void MemoryStore::heal() {
  const std::lock_guard lock{mutex_};
  held_installs_.clear();
  appends_to_fail_ = 0;
  loads_to_fail_ = 0;
  fails_after_storing_ = false;
}

void MemoryStore::hold_appends() {
  const std::lock_guard lock{mutex_};
  holds_appends_ = true;
}

void MemoryStore::wait_for_held_append() {
  std::unique_lock lock{mutex_};
  held_or_released_.wait(lock, [this] { return is_holding_; });
}

void MemoryStore::release_appends() {
  const std::lock_guard lock{mutex_};
  holds_appends_ = false;
  held_or_released_.notify_all();
}

}  // namespace credits::persistence
