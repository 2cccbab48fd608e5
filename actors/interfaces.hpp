// Every actor, every message, and who sends it.
//
//   HTTP loops   ──▶ gateway ──▶ router ──▶ install ──▶ persister ──▶ snapshotter
//        ▲              │           ▲        │ ▲ │ ▲       ▲ │  │
//        │              └▶ reporter └retired─┘ │ │ └dropped┼─┘  │
//        │                                loader └▶ confirmer   │
//        └───────────────────── answers ───────────────────────┘
//
// The gateway is a class, not an actor. Not drawn: it sends imports to the persister, and requests
// for an install's state through the router to the reporter.
//
// Answers do not travel back through the actors. A request carries its result slot (answers.hpp) or
// a Promise, and whichever actor knows the answer fills it. An answer that waits for the disk is
// the persister's to give, so a commit takes one message to the persister and none back. If a
// promise is destroyed with its actor or its message, it breaks, and the thread that waits for it
// gets the exception at once. (CAF's request/receive was measured too: a scoped actor on each HTTP
// thread costs a timer and two more messages per request.)
#pragma once

#include <caf/all.hpp>
#include <cstdint>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "actors/answers.hpp"
#include "actors/figures/install_stats.hpp"
#include "actors/figures/recent.hpp"
#include "actors/operation.hpp"
#include "persistence/store.hpp"

namespace credits::actors {

// Copyable, as CAF messages must be; to be fulfilled only once. An exception in it is a
// persistence::StoreError.
template <class Result>
using Promise = std::shared_ptr<std::promise<Result>>;

// An operation, and the slot for its answer.
struct Request {
  Operation operation;
  std::shared_ptr<Answers> answers;
  std::size_t place = 0;
  // Slot of the previous operation on the same install in this batch. If its outcome is unknown,
  // this operation is not run.
  std::optional<std::size_t> previous_place{};
  // After this nobody waits for the answer: a request not judged by then is not run.
  SteadyTime deadline = SteadyTime::max();
  std::uint64_t order = 0;  // its number among the requests that its install has judged

  void put(Answer answer) const { answers->put(place, std::move(answer)); }
  void complete() const { answers->complete(); }
  void fail(Answer answer) const { answers->fail(place, std::move(answer)); }
};

// Operators' requests have a deadline too.
struct ListRequest {
  persistence::ListQuery query;
  Promise<std::vector<ledger::Row>> rows;
  SteadyTime deadline = SteadyTime::max();
};

struct EntriesRequest {
  std::string install_id;
  std::uint64_t before_version = 0;
  std::size_t limit = 0;
  Promise<std::optional<std::vector<ledger::Entry>>> entries;  // none: unknown install
  SteadyTime deadline = SteadyTime::max();
};

struct SnapshotRequest {
  Promise<std::shared_ptr<persistence::RowCursor>> cursor;
  SteadyTime deadline = SteadyTime::max();
};

// An install's state, read without waking it.
struct InstallReport {
  std::shared_ptr<const InstallStats> stats;  // none: it has no actor
  std::optional<ledger::Row> row;             // as stored; none: not in the ledger
};

struct ReportRequest {
  std::string install_id;
  Promise<InstallReport> report;
  SteadyTime deadline = SteadyTime::max();
  std::shared_ptr<const InstallStats> stats{};  // filled by the router
};

// Why a mutation has not become durable.
enum class WriteFailure : std::uint8_t {
  conflict,  // not stored: another writer wrote the install first
  busy,      // not stored: another transaction holds the install's row
  damaged,   // not stored: the install's stored data is damaged
  failed,    // outcome unknown
};

// Why the store could not be read.
struct ReadFailure {
  std::string reason;
  bool is_damage = false;  // of this install's stored data; otherwise the store itself failed

  Answer answer() const {
    return is_damage ? Answer{Damaged{reason}} : Answer{Unavailable{reason}};
  }
};

using run_atom = caf::atom_constant<caf::atom("run")>;
using list_atom = caf::atom_constant<caf::atom("list")>;
using entries_atom = caf::atom_constant<caf::atom("entries")>;
using import_atom = caf::atom_constant<caf::atom("import")>;
using forget_atom = caf::atom_constant<caf::atom("forget")>;
using report_atom = caf::atom_constant<caf::atom("report")>;
using snapshot_atom = caf::atom_constant<caf::atom("snapshot")>;
using recall_atom = caf::atom_constant<caf::atom("recall")>;
using recalled_atom = caf::atom_constant<caf::atom("recalled")>;
using load_atom = caf::atom_constant<caf::atom("load")>;
using loaded_atom = caf::atom_constant<caf::atom("loaded")>;
using read_atom = caf::atom_constant<caf::atom("read")>;
using confirm_atom = caf::atom_constant<caf::atom("confirm")>;
using unconfirmed_atom = caf::atom_constant<caf::atom("unconfirm")>;
using append_atom = caf::atom_constant<caf::atom("append")>;
using write_atom = caf::atom_constant<caf::atom("write")>;
using probe_atom = caf::atom_constant<caf::atom("probe")>;
using stored_atom = caf::atom_constant<caf::atom("stored")>;
using dropped_atom = caf::atom_constant<caf::atom("dropped")>;
using resume_atom = caf::atom_constant<caf::atom("resume")>;
using resumed_atom = caf::atom_constant<caf::atom("resumed")>;
using drain_atom = caf::atom_constant<caf::atom("drain")>;
using drained_atom = caf::atom_constant<caf::atom("drained")>;
using retire_atom = caf::atom_constant<caf::atom("retire")>;
using retired_atom = caf::atom_constant<caf::atom("retired")>;
using prune_atom = caf::atom_constant<caf::atom("prune")>;
using tick_atom = caf::atom_constant<caf::atom("tick")>;
using close_atom = caf::atom_constant<caf::atom("close")>;

// The stored row and its stamp, and the install's replay keys unless there are too many; or why
// they could not be read.
struct Loaded {
  persistence::StampedRow stored;
  std::optional<std::vector<ledger::ReplayKey>> replay_keys;
  std::optional<ReadFailure> failure;
};

// The stored entry, if any, for each replay key; or why they could not be read.
struct Recalled {
  std::vector<ledger::ReplayKey> replay_keys;
  std::vector<std::optional<ledger::Entry>> entries;
  std::optional<ReadFailure> failure;
};

// A request that has been judged, but not answered yet.
struct Unanswered {
  Request request;
  bool mutates = false;
};

// Requests that an install judged on a version that has not become durable.
struct Dropped {
  WriteFailure failure = WriteFailure::failed;
  std::string reason;
  std::vector<Unanswered> unanswered;  // in the order of judgement
};

// Owns one row, and alone changes it. Spawned at the first message for its id.
using install_actor = caf::typed_actor<
    // router: an operation to judge
    caf::reacts_to<run_atom, Request>,
    // loader: its row; its replay keys' entries
    caf::reacts_to<loaded_atom, Loaded>, caf::reacts_to<recalled_atom, Recalled>,
    // persister: a write has failed; requests judged on it, none of them answered
    caf::reacts_to<dropped_atom, Dropped>,
    // persister: everything on its way when a write failed has been given back
    caf::reacts_to<resumed_atom>,
    // persister: everything on its way has been answered or given back
    caf::reacts_to<drained_atom>,
    // router: finish the requests under way, send `retired`, and end
    caf::reacts_to<retire_atom>>;

// Finds the install of an id, and alone holds install handles. There are several routers, each with
// its share of the ids.
using router_actor = caf::typed_actor<
    // gateway: operations, in this order
    caf::reacts_to<run_atom, Request>, caf::reacts_to<run_atom, std::vector<Request>>,
    // gateway: a request for an install's state; passed on, with the actor's stats, to the reporter
    caf::reacts_to<report_atom, ReportRequest>,
    // persister: the installs' rows in memory may be outdated; retire them all
    caf::reacts_to<forget_atom>,
    // itself: look for idle installs
    caf::reacts_to<tick_atom>,
    // install: it has ended, and nothing of it is unanswered
    caf::reacts_to<retired_atom, std::string>,
    // shutdown: retire all; answered when the last one has ended
    caf::replies_to<close_atom>::with<caf::ok_atom>>;

struct Imported {
  bool was_empty = false;      // false: nothing was imported
  std::uint64_t installs = 0;  // in the ledger now
};

struct ImportRequest {
  std::vector<persistence::Mutation> mutations;
  Promise<Imported> imported;
  SteadyTime deadline = SteadyTime::max();
  std::vector<router_actor> routers{};  // filled by the gateway
};

// A request whose answer is in its slot, and its mutation, if it has one. The persister sets the
// stamp that the mutation follows.
struct Append {
  install_actor install;
  std::shared_ptr<InstallStats> stats;
  std::optional<persistence::Mutation> mutation;
  Request request;
  SteadyTime judged_at;
};

// A read-only request whose answer is in its slot, and the stamp of the durable row that it was
// judged on.
struct Read {
  install_actor install;
  std::shared_ptr<InstallStats> stats;
  Request request;
  persistence::Stamp stamp{};
};

// A read whose row may be outdated.
struct Unconfirmed {
  Read read;
  std::string failure;  // why the store could not compare it; empty: it has another row
};

// Makes mutations durable, many in one write, and completes the requests that wait for them.
// Blocks, so it has its own thread.
using persister_actor = caf::typed_actor<
    // install: a request to complete once this mutation and those before it are durable; otherwise
    // given back by `dropped`
    caf::reacts_to<append_atom, Append>,
    // confirmer: a read to complete if the install's own next write has replaced the row; otherwise
    // given back by `dropped`
    caf::reacts_to<unconfirmed_atom, Unconfirmed>,
    // gateway: a whole ledger, to be stored if this one is empty
    caf::reacts_to<import_atom, ImportRequest>,
    // itself: write the batch that has queued up before this; check whether the store takes writes
    caf::reacts_to<write_atom>, caf::reacts_to<probe_atom>,
    // install, over a shared store through the confirmer: it has seen `dropped`, and whatever
    // follows does not build on lost writes; answered by `resumed`
    caf::reacts_to<resume_atom, install_actor>,
    // install, over a shared store through the confirmer: send `drained` when everything it has
    // sent is done
    caf::reacts_to<drain_atom, install_actor>,
    // shutdown: write the rest, and end
    caf::replies_to<close_atom>::with<caf::ok_atom>>;

// Completes read-only requests once the store has confirmed that their row is the newest. Exists
// only over a shared store. Blocks, so it has its own thread.
using confirmer_actor = caf::typed_actor<
    // install: a read to complete, unless its row is outdated
    caf::reacts_to<read_atom, Read>,
    // itself: compare the rows that have queued up before this, all at once
    caf::reacts_to<confirm_atom>,
    // install: passed on to the persister once none of the install's reads is left here
    caf::reacts_to<resume_atom, install_actor>, caf::reacts_to<drain_atom, install_actor>,
    // shutdown
    caf::replies_to<close_atom>::with<caf::ok_atom>>;

// Keeps the store's snapshots close behind its journal, and prunes old entries and replay keys.
// Blocks, so it has its own thread.
using snapshotter_actor = caf::typed_actor<
    // persister: the number of new entries
    caf::reacts_to<stored_atom, std::uint64_t>,
    // itself: checkpoint, unless the number of checkpoints has changed; prune
    caf::reacts_to<tick_atom, std::uint64_t>, caf::reacts_to<prune_atom>,
    // shutdown: checkpoint once more, and end
    caf::replies_to<close_atom>::with<caf::ok_atom>>;

// Reads rows and replay keys' entries for installs. Blocks, so it has its own thread, separate from
// the persister's, so that a cold install does not wait for a sync.
using loader_actor = caf::typed_actor<
    // install: a request for its row; answered by `loaded`
    caf::reacts_to<load_atom, std::string, install_actor>,
    // install: a request for its entries with these replay keys; answered by `recalled`
    caf::reacts_to<recall_atom, std::string, std::vector<ledger::ReplayKey>, install_actor>,
    // itself: read the batch of rows that has queued up before this
    caf::reacts_to<tick_atom>,
    // shutdown
    caf::replies_to<close_atom>::with<caf::ok_atom>>;

// Answers operators from the store, without waking an install. Blocks, so it has its own thread,
// separate from the loader's, so that a long listing delays no relay.
using reporter_actor = caf::typed_actor<
    caf::reacts_to<list_atom, ListRequest>, caf::reacts_to<entries_atom, EntriesRequest>,
    caf::reacts_to<snapshot_atom, SnapshotRequest>, caf::reacts_to<report_atom, ReportRequest>,
    // shutdown
    caf::replies_to<close_atom>::with<caf::ok_atom>>;

}  // namespace credits::actors

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(credits::actors::Request)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(std::vector<credits::actors::Request>)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(std::vector<credits::ledger::ReplayKey>)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(credits::actors::Recalled)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(credits::actors::ListRequest)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(credits::actors::EntriesRequest)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(credits::actors::SnapshotRequest)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(credits::actors::ReportRequest)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(credits::actors::ImportRequest)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(credits::actors::Dropped)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(credits::actors::Loaded)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(credits::actors::Append)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(credits::actors::Read)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(credits::actors::Unconfirmed)
