// The durable home of rows and entries, whatever the engine: memory (tests), SQLite, PostgreSQL.
//
// Who may call what from where:
//   append    from one thread at a time (the persister)
//   the rest  from any thread, at any time
// Every function throws StoreError when the engine fails.
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

// The text names the file or server at fault and what to do about it.
class StoreError : public std::runtime_error {
 public:
  StoreError(StoreErrorKind kind, const std::string& text) : runtime_error{text}, kind_{kind} {}

  StoreErrorKind kind() const { return kind_; }

 private:
  StoreErrorKind kind_;
};

// Tells the operator what an engine has met: a stable name for programs, and a text for people. Any
// thread.
using Tell = std::function<void(std::string_view name, const std::string& text)>;

// An install as it is stored.
struct StampedRow {
  std::optional<ledger::Row> row;  // none: the ledger does not have it
  Stamp stamp;
};

// `entries` are what happened to one install, oldest first and at least one; `after` is the row
// they led to. The first has the version after the one that the mutation follows, the last that of
// the row.
struct Mutation {
  ledger::Row after;
  std::vector<ledger::Entry> entries;
  // The stamp of the row that the mutation was made of. Of an install's mutations in one batch only
  // the first one's counts: each later one follows the one before it.
  Stamp follows{};
};

// append() expects this of each mutation: its entries count on from `version` without a gap, and
// lead to a row that can be stored.
inline void expect_gapless(const Mutation& mutation, std::uint64_t version) {
  CREDITS_EXPECTS(!mutation.entries.empty());
  for (const ledger::Entry& entry : mutation.entries) {
    CREDITS_EXPECTS(entry.version == ++version);
    CREDITS_EXPECTS(entry.credits >= 0);
  }
  CREDITS_EXPECTS(mutation.after.version == version);
}

// Only an install that exists has entries, and a place for the newest.
inline void expect_possible(const Stamp& stamp) {
  CREDITS_EXPECTS(stamp.version > 0 || (!stamp.hash && stamp.sequence == 0));
}

enum class Outcome : std::uint8_t {
  stored,
  unknown,  // of an install alone: it may have been stored
  // Nothing was stored, because
  conflict,  // the newest stamp of the install is not the one that the mutation follows
  busy,      // someone else holds the install's row, and has not let go of it in time
  damaged,   // what is stored of the install is damaged; load() throws what tells more
};

// What became of a mutation, and the stamp of its row if it was stored.
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

// An install as somebody has seen it.
struct Seen {
  std::string install_id;
  Stamp stamp{};
};

struct ListQuery {
  std::string after;                // ids greater than this one; empty: from the first
  std::string prefix;               // ids that begin so; empty: all
  std::optional<std::string> tier;  // rows with this tier_snapshot; none: all
  std::size_t limit = 100;          // rows at most
};

// What may be forgotten: what is older than these.
struct Horizon {
  ledger::Time entries_before;
  ledger::Time replay_keys_before;
};

// Rows of one consistent point in time, in id order. Lives no longer than its store.
class RowCursor {
 public:
  virtual ~RowCursor() = default;
  virtual std::optional<ledger::Row> next() = 0;
};

class Store {
 public:
  virtual ~Store() = default;

  // The installs with these ids, in their order.
  virtual std::vector<StampedRow> load(std::span<const std::string> ids) = 0;

  // The same for those who will not append what follows these rows. Their server is known to take
  // writes, so that they are not those of one that was replaced long ago.
  virtual std::vector<StampedRow> peek(std::span<const std::string> ids) { return load(ids); }

  // The names that an install's entries are remembered by; nothing if there are more than `limit`.
  virtual std::optional<std::vector<ledger::ReplayKey>> replay_keys(const std::string& install_id,
                                                                    std::size_t limit) = 0;

  // The newest entry of each name, in their order; nothing for one that is not remembered.
  virtual std::vector<std::optional<ledger::Entry>> recall(
      const std::string& install_id, std::span<const ledger::ReplayKey> replay_keys) = 0;

  // One durable write for all, one outcome for each. When it returns, what was stored survives a
  // power cut. When it throws, nothing of it was stored, unless the engine says that the outcome of
  // all is unknown (see the engine). Mutations of one install stand in the order of their versions,
  // without a gap; one that conflicts makes the later ones of its install conflict too. An install
  // that is gone conflicts, and is not made anew.
  virtual std::vector<Appended> append(std::span<const Mutation> mutations) = 0;

  // Stores a whole ledger, or nothing if there is an install already; whether it did. Throws as
  // append() does.
  virtual bool import(std::span<const Mutation> mutations) {
    if (installs() > 0) return false;
    for (const Appended& appended : append(mutations)) {
      if (appended.outcome != Outcome::stored)
        throw StoreError{StoreErrorKind::refused, "the import is not whole"};
    }
    return true;
  }

  // Whether others may write to it too, so that what was loaded may be old.
  virtual bool is_shared() const { return false; }

  // Of each, whether its stamp is still the newest. Waits for no append.
  virtual std::vector<bool> are_current(std::span<const Seen> seen) {
    return std::vector<bool>(seen.size(), true);
  }

  // Returns if nothing is known to be in the way of a write. Asked every second, so it is cheap.
  virtual void ping() {}

  // Does a small write of its own, as durable as append()'s. Asked after a write has failed, to
  // know whether the next would work.
  virtual void probe_write() {}

  // A page of rows, in id order.
  virtual std::vector<ledger::Row> list(const ListQuery& query) = 0;

  // A page of an install's entries, newest first, with versions below `before_version`.
  virtual std::vector<ledger::Entry> entries(const std::string& install_id,
                                             std::uint64_t before_version, std::size_t limit) = 0;

  // Every row, as of one point in time that covers all that append() stored before the call.
  virtual std::unique_ptr<RowCursor> snapshot() = 0;

  // Does what append() left for later, so that a restart has little to replay.
  virtual void checkpoint() = 0;

  // Forgets a part of what the horizon lets go: the oldest entries, so that there is no gap in what
  // is kept, and names of entries that a checkpoint has covered. An entry that a name still finds
  // is kept. Returns whether there is more, so that nobody waits for long. Rows stay as they are.
  virtual bool prune(const Horizon& horizon) = 0;

  // How many installs there are. Over a shared store it is an estimate, as of the last prune().
  virtual std::uint64_t installs() = 0;

  // How much checkpoint() would have to do: rows and names.
  virtual std::uint64_t pending_rows() = 0;

  // A time that has been: of the newest entry, or of the engine's own clock. Nothing if it has
  // none.
  virtual std::optional<ledger::Time> newest_time() { return std::nullopt; }

  // What the engine is called.
  virtual std::string_view engine() const = 0;
};

}  // namespace credits::persistence
