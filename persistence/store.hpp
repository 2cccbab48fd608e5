// The durable store of rows and entries; its engines are memory (for tests), SQLite and PostgreSQL.
//
// Threads:
//   append    one thread at a time (the persister)
//   the rest  any thread, at any time
// Every function throws StoreError if the engine fails.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "actors/base/assert.hpp"
#include "actors/ledger/entry.hpp"
#include "actors/ledger/row.hpp"
#include "persistence/stamp.hpp"

namespace credits::persistence {

enum class StoreErrorKind : std::uint8_t {
  unavailable,  // the disk or the server failed, or is busy: another try may work
  full,         // no room on the disk, or in a quota: another try works once there is room
  refused,      // the files, the server or the values cannot be used until somebody changes them
  damaged,      // the data of one install is not what was written; no other install is affected
  broken,       // every later write fails too, until the store is opened again
};

// The text names the file or server at fault, and the remedy.
class StoreError : public std::runtime_error {
 public:
  StoreError(StoreErrorKind kind, const std::string& text) : runtime_error{text}, kind_{kind} {}

  StoreErrorKind kind() const { return kind_; }

 private:
  StoreErrorKind kind_;
};

// Reports an event in an engine to the operator: a stable name for programs, and a text for people.
// Any thread.
using Report = std::function<void(std::string_view name, const std::string& text)>;

// An install as stored.
struct StampedRow {
  std::optional<ledger::Row> row;  // none: the ledger has no such install
  Stamp stamp;
};

// A change of one install: one or more entries, oldest first, and the row that they lead to. The
// first entry has the version after the one that the mutation follows, the last that of the row.
struct Mutation {
  ledger::Row after;
  std::vector<ledger::Entry> entries;
  // Stamp of the row that the mutation was computed from. In a batch, only the first mutation of an
  // install is compared with the store; each later one follows the one before it.
  Stamp follows{};
};

// append() expects this of each mutation: the versions of its entries continue from `version`
// without a gap.
inline void expect_gapless(const Mutation& mutation, std::uint64_t version) {
  CREDITS_EXPECTS(!mutation.entries.empty());
  for (const ledger::Entry& entry : mutation.entries) {
    CREDITS_EXPECTS(entry.version == ++version);
    CREDITS_EXPECTS(entry.credits >= 0);
  }
  CREDITS_EXPECTS(mutation.after.version == version);
}

// A stamp of version 0 stands for an install that does not exist, and has nothing else.
inline void expect_possible(const Stamp& stamp) {
  CREDITS_EXPECTS(stamp.version > 0 || (!stamp.hash && stamp.sequence == 0));
}

enum class Outcome : std::uint8_t {
  stored,
  unknown,  // it may have been stored
  // Not stored, because
  conflict,  // the newest stamp of the install is not the one that the mutation follows
  busy,      // another transaction holds the install's row, and did not release it in time
  damaged,   // the install's stored data is damaged; load() throws the details
};

// The outcome of one mutation, and the stamp of its row if it was stored.
struct Appended {
  Outcome outcome = Outcome::unknown;
  Stamp stamp{};
};

// append() ensures this: one outcome for each mutation, with the stamp of its row if it was stored.
inline void ensure_answered(std::span<const Mutation> mutations,
                            std::span<const Appended> appended) {
  CREDITS_ENSURES(appended.size() == mutations.size());
  for (std::size_t i = 0; i < appended.size(); ++i) {
    const bool is_stored = appended[i].outcome == Outcome::stored;
    CREDITS_ENSURES(appended[i].stamp.version == (is_stored ? mutations[i].after.version : 0));
  }
}

// An install, and the stamp with which a caller has read it.
struct Seen {
  std::string install_id;
  Stamp stamp{};
};

struct ListQuery {
  std::string after;                // only ids greater than this one; empty: from the first
  std::string prefix;               // only ids that begin with this; empty: all
  std::optional<std::string> tier;  // only rows with this tier_snapshot; none: all
  std::size_t limit = 100;          // maximum number of rows
};

// Retention limits: anything older may be deleted.
struct Horizon {
  ledger::Time entries_before;
  ledger::Time replay_keys_before;
};

// Rows of one consistent point in time, in id order. The store must outlive it.
class RowCursor {
 public:
  virtual ~RowCursor() = default;
  virtual std::optional<ledger::Row> next() = 0;
};

class Store {
 public:
  virtual ~Store() = default;

  // The installs with these ids, in the order of the ids.
  virtual std::vector<StampedRow> load(std::span<const std::string> ids) = 0;

  // The same for callers that will not append. load() may return the rows of a server that was
  // replaced long ago, as their stamps make append() conflict; peek() reads only from a server that
  // accepts writes.
  virtual std::vector<StampedRow> peek(std::span<const std::string> ids) { return load(ids); }

  // The names by which an install's entries are remembered; nullopt if there are more than `limit`.
  virtual std::optional<std::vector<ledger::ReplayKey>> replay_keys(const std::string& install_id,
                                                                    std::size_t limit) = 0;

  // The newest entry of each name, in the order of the names; nullopt for a name that is not
  // remembered.
  virtual std::vector<std::optional<ledger::Entry>> recall(
      const std::string& install_id, std::span<const ledger::ReplayKey> replay_keys) = 0;

  // One durable write for all mutations, one outcome for each. When it returns, every stored
  // mutation survives a power cut. When it throws, nothing was stored, unless the engine documents
  // that the outcome of the whole batch is unknown. The mutations of one install come in the order
  // of their versions, without a gap; a conflict makes the later ones of its install conflict too.
  // A mutation of an install that has disappeared conflicts; the install is not created again.
  virtual std::vector<Appended> append(std::span<const Mutation> mutations) = 0;

  // Stores a whole ledger and returns true; or returns false if the store already has an install.
  // Throws as append() does.
  virtual bool import(std::span<const Mutation> mutations) {
    if (installs() > 0) return false;
    for (const Appended& appended : append(mutations)) {
      if (appended.outcome != Outcome::stored)
        throw StoreError{StoreErrorKind::refused, "the import is incomplete"};
    }
    return true;
  }

  // Whether other processes may write to it too, so that a loaded row may be stale.
  virtual bool is_shared() const { return false; }

  // For each install, whether the stamp is still its newest. Does not wait for an append.
  virtual std::vector<bool> are_current(std::span<const Seen> seen) {
    return std::vector<bool>(seen.size(), true);
  }

  // Throws if a write is known to fail. Called every second, so it is cheap.
  virtual void ping() {}

  // Makes a small write of its own, as durable as append()'s. Called after a failed write, to find
  // out whether the next one would succeed.
  virtual void probe_write() {}

  // A page of rows in id order.
  virtual std::vector<ledger::Row> list(const ListQuery& query) = 0;

  // A page of an install's entries with versions below `before_version`, newest first.
  virtual std::vector<ledger::Entry> entries(const std::string& install_id,
                                             std::uint64_t before_version, std::size_t limit) = 0;

  // Every row, as of one point in time, including everything that append() stored before the call.
  virtual std::unique_ptr<RowCursor> snapshot() = 0;

  // Does the work that append() has postponed, so that a restart has little to replay.
  virtual void checkpoint() = 0;

  // Deletes some of the data beyond the horizon: the oldest entries, so that those kept have no
  // gap, and names of entries that a checkpoint has covered. An entry that a name still finds is
  // kept. Rows do not change. Works in small steps, so that no other call waits for long; returns
  // whether there is more to delete.
  virtual bool prune(const Horizon& horizon) = 0;

  // The number of installs. In a shared store it is an estimate, as of the last prune().
  virtual std::uint64_t installs() = 0;

  // The number of rows and names that checkpoint() would have to write.
  virtual std::uint64_t pending_rows() = 0;

  // A time that has passed: that of the newest entry, or of the engine's own clock. Nullopt if it
  // has neither.
  virtual std::optional<ledger::Time> newest_time() { return std::nullopt; }

  // The engine's name.
  virtual std::string_view engine() const = 0;
};

}  // namespace credits::persistence
