// A store in memory that fails on command, for tests of the layers above a store. Thread-safe.
#pragma once

#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "persistence/chain.hpp"
#include "persistence/store.hpp"

namespace credits::persistence {

class MemoryStore : public Store {
 public:
  std::vector<StampedRow> load(std::span<const std::string> ids) override;
  std::optional<std::vector<ledger::ReplayKey>> replay_keys(const std::string& install_id,
                                                            std::size_t limit) override;
  std::vector<std::optional<ledger::Entry>> recall(
      const std::string& install_id, std::span<const ledger::ReplayKey> replay_keys) override;
  std::vector<Appended> append(std::span<const Mutation> mutations) override;
  bool import(std::span<const Mutation> mutations) override;
  std::vector<bool> are_current(std::span<const Seen> seen) override;
  // Fails while appends fail.
  void probe_write() override;
  std::vector<ledger::Row> list(const ListQuery& query) override;
  std::vector<ledger::Entry> entries(const std::string& install_id, std::uint64_t before_version,
                                     std::size_t limit) override;
  std::unique_ptr<RowCursor> snapshot() override;
  void checkpoint() override {}
  bool prune(const Horizon& horizon) override;
  std::uint64_t installs() override;
  std::uint64_t pending_rows() override { return 0; }
  std::optional<ledger::Time> newest_time() override;
  std::string_view engine() const override { return "memory"; }

  // The next `count` appends store nothing and throw.
  void fail_appends(std::size_t count);

  // The next append stores everything and then throws: the outcome is unknown.
  void fail_append_after_storing();

  // The next `count` reads by an install that starts or recalls throw.
  void fail_loads(std::size_t count);

  // Acts like another transaction that holds the install's row: appends find it busy.
  void hold_install(const std::string& id);
  void let_go_of_install(const std::string& id);

  // Damages the install's stored data.
  void damage_install(const std::string& id);

  // go_back() restores the ledger as of keep(): later writes are lost, as by a failover to a server
  // that lacks them.
  void keep();
  void go_back();

  // Ignores the faults.
  Stamp stamp(const std::string& id);

  // Cancels the faults that have not happened yet.
  void heal();

  // Appends wait until they are released.
  void hold_appends();
  void wait_for_held_append();
  void release_appends();

 private:
  struct Install {
    ledger::Row row;
    Stamp stamp;
    std::deque<ledger::Entry> entries;  // oldest first
    std::unordered_map<ledger::ReplayKey, std::uint64_t, ledger::ReplayKeyHash>
        replay_keys;  // to versions
  };

  void fail_read_on_command();
  void expect_whole(const std::string& install_id) const;
  Stamp newest(const std::string& install_id) const;
  Outcome outcome_of(const std::string& install_id, const Stamp& follows) const;
  Stamp store(const Mutation& mutation);

  std::mutex mutex_;  // guards all members below
  std::condition_variable held_or_released_;
  std::map<std::string, Install> installs_;
  std::map<std::string, Install> kept_;
  Hasher hasher_;
  std::optional<ledger::Time> newest_time_;
  std::set<std::string> held_installs_;
  std::set<std::string> damaged_installs_;
  std::size_t appends_to_fail_ = 0;
  std::size_t loads_to_fail_ = 0;
  bool fails_after_storing_ = false;
  bool holds_appends_ = false;
  bool is_holding_ = false;
};

}  // namespace credits::persistence
