// The whole conversation of the service: every actor, every message, and who sends it.
//
//   HTTP loops   ──▶ gateway ──▶ router ──▶ install ──▶ persister ──▶ snapshotter
//        ▲              │           ▲        │ ▲ │ ▲       ▲ │  │
//        │              └▶ reporter └retired─┘ │ │ └dropped┼─┘  │
//        │                                loader └▶ confirmer   │
//        └───────────────────── answers ───────────────────────┘
//
// An answer does not travel back through the actors: a request carries the place that it goes to,
// or a Promise, and whoever can fill it does (answers.hpp says who is told then). For what an
// install has judged on a row that is still on its way to the disk that is the persister, so that a
// commit takes one message to it and none back. A promise that is dropped, with its actor or its
// message, breaks, and so its waiting thread is answered at once. (Measured beside CAF's
// request/receive: a scoped actor on each HTTP thread costs a timer and two more messages for each
// request.)
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

// Copyable, as CAF wants messages to be; still to be fulfilled once. An exception in it is a
// persistence::StoreError.
template <class Result>
using Promise = std::shared_ptr<std::promise<Result>>;

// An operation, and the place for its answer.
struct Request {
  Operation operation;
  std::shared_ptr<Answers> answers;
  std::size_t place = 0;
  // That of the operation before it on the same install, if one came with it. When that one may
  // have been done, so may this: it is not run.
  std::optional<std::size_t> previous_place{};
  // Nobody waits for the answer any longer than until then, so what is not judged by then is not
  // begun.
  SteadyTime deadline = SteadyTime::max();
  std::uint64_t order = 0;  // in which its install judged it; the install's own

  void put(Answer answer) const { answers->put(place, std::move(answer)); }
  void complete() const { answers->complete(); }
  void fail(Answer answer) const { answers->fail(place, std::move(answer)); }
};

// Operators' requests have a deadline as operations have.
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

// What is known of an install without waking it.
struct InstallReport {
  std::shared_ptr<const InstallStats> stats;  // none: there is no actor
  std::optional<ledger::Row> row;             // as it is durable; none: the ledger does not have it
};

struct ReportRequest {
  std::string install_id;
  Promise<InstallReport> report;
  SteadyTime deadline = SteadyTime::max();
  std::shared_ptr<const InstallStats> stats{};  // filled by the router
};

// Why a write did not come to be.
enum class WriteFailure : std::uint8_t {
  conflict,  // not stored: someone else wrote the install
  busy,      // not stored: someone else holds the install
  damaged,   // not stored: what is stored of the install is damaged
  failed,    // may have been stored
};

// Why the store could not be read.
struct ReadFailure {
  std::string reason;
  bool is_damage = false;  // of what is stored of this install; else it is the store's

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

// The row and its stamp as the store has them, and the names of its entries unless they are too
// many; or why they could not be read.
struct Loaded {
  persistence::StampedRow stored;
  std::optional<std::vector<ledger::ReplayKey>> replay_keys;
  std::optional<ReadFailure> failure;
};

// What the store has for these names, or why it could not be read.
struct Recalled {
  std::vector<ledger::ReplayKey> replay_keys;
  std::vector<std::optional<ledger::Entry>> entries;
  std::optional<ReadFailure> failure;
};

// A request that has been judged, but not yet answered.
struct Unanswered {
  Request request;
  bool mutates = false;
};

// What an install judged on a version that has not become durable.
struct Dropped {
  WriteFailure failure = WriteFailure::failed;
  std::string reason;
  std::vector<Unanswered> unanswered;  // in the order in which they were judged
};

// The owner of one row, and the only one who changes it. Spawned at the first message for its id.
using install_actor = caf::typed_actor<
    // router: an operation to judge
    caf::reacts_to<run_atom, Request>,
    // loader: what the store has
    caf::reacts_to<loaded_atom, Loaded>, caf::reacts_to<recalled_atom, Recalled>,
    // persister: a write has failed; nothing that was judged on it has been answered
    caf::reacts_to<dropped_atom, Dropped>,
    // persister: it has given back all that was on its way when a write failed
    caf::reacts_to<resumed_atom>,
    // persister: all that was on its way has been answered or given back
    caf::reacts_to<drained_atom>,
    // router: finish what is under way, report `retired`, and end
    caf::reacts_to<retire_atom>>;

// Finds the install of an id: the only holder of install handles. There are several, each with its
// share of the ids.
using router_actor = caf::typed_actor<
    // gateway: operations for the installs that they name, in this order
    caf::reacts_to<run_atom, Request>, caf::reacts_to<run_atom, std::vector<Request>>,
    // gateway: how the install's actor is, if there is one; passed on to the reporter
    caf::reacts_to<report_atom, ReportRequest>,
    // persister: what installs hold in memory may be out of date; retire them all
    caf::reacts_to<forget_atom>,
    // itself: time to look for idle installs
    caf::reacts_to<tick_atom>,
    // install: nothing of it is unacknowledged, and it has ended
    caf::reacts_to<retired_atom, std::string>,
    // shutdown: retire all; answered when the last one has ended
    caf::replies_to<close_atom>::with<caf::ok_atom>>;

struct Imported {
  bool was_empty = false;      // if not, nothing was imported
  std::uint64_t installs = 0;  // that the ledger has now
};

struct ImportRequest {
  std::vector<persistence::Mutation> mutations;
  Promise<Imported> imported;
  SteadyTime deadline = SteadyTime::max();
  std::vector<router_actor> routers{};  // filled by the gateway
};

// A request whose answer is in its place, and the mutation that the request made, if any. What the
// mutation follows is known when it is written.
struct Append {
  install_actor install;
  std::shared_ptr<InstallStats> stats;
  std::optional<persistence::Mutation> mutation;
  Request request;
  SteadyTime judged_at;
};

// A request whose answer is in its place and changes nothing, and the stamp of the durable row that
// it was judged on.
struct Read {
  install_actor install;
  std::shared_ptr<InstallStats> stats;
  Request request;
  persistence::Stamp stamp{};
};

// A read whose row may be old.
struct Unconfirmed {
  Read read;
  std::string failure;  // why the store could not tell; empty: it has another row
};

// Makes mutations durable, many in one write, and gives the answers that wait for them. Blocks, so
// it has a thread of its own.
using persister_actor = caf::typed_actor<
    // install: an answer to give once this mutation and those before it are durable; given back
    // by `dropped` if they do not become so
    caf::reacts_to<append_atom, Append>,
    // confirmer: an answer to give if the row has been replaced by the install's own next write,
    // else to give back by `dropped`
    caf::reacts_to<unconfirmed_atom, Unconfirmed>,
    // gateway: a whole ledger, to be stored if there is none yet
    caf::reacts_to<import_atom, ImportRequest>,
    // itself: what had queued up before this is a batch; whether the store takes writes
    caf::reacts_to<write_atom>, caf::reacts_to<probe_atom>,
    // install, maybe by way of the confirmer: it has seen `dropped`, and what follows builds on
    // nothing lost; replied to by `resumed`
    caf::reacts_to<resume_atom, install_actor>,
    // install, maybe by way of the confirmer: wants `drained` when what it has sent is done with
    caf::reacts_to<drain_atom, install_actor>,
    // shutdown: write the rest and end
    caf::replies_to<close_atom>::with<caf::ok_atom>>;

// Gives the answers that change nothing, once the row that each was judged on is known to be the
// newest; only where others write to the store too. Blocks, so it has a thread of its own.
using confirmer_actor = caf::typed_actor<
    // install: an answer to give, unless the row is old
    caf::reacts_to<read_atom, Read>,
    // itself: what had queued up before this is compared at once
    caf::reacts_to<confirm_atom>,
    // install: passed on to the persister once nothing of the install is left here
    caf::reacts_to<resume_atom, install_actor>, caf::reacts_to<drain_atom, install_actor>,
    // shutdown
    caf::replies_to<close_atom>::with<caf::ok_atom>>;

// Keeps the store's snapshots close behind its journal, and prunes what is old. Blocks, so it has a
// thread of its own.
using snapshotter_actor = caf::typed_actor<
    // persister: so many entries are new
    caf::reacts_to<stored_atom, std::uint64_t>,
    // itself: time for a checkpoint, unless there were others than so many before; time to prune
    caf::reacts_to<tick_atom, std::uint64_t>, caf::reacts_to<prune_atom>,
    // shutdown: a last checkpoint, and end
    caf::replies_to<close_atom>::with<caf::ok_atom>>;

// Reads for installs what they start with, and what they ask for later. Blocks, so it has a thread
// of its own; apart from the persister's, so that a cold install does not wait for a sync.
using loader_actor = caf::typed_actor<
    // install: wants its row; answered by `loaded`
    caf::reacts_to<load_atom, std::string, install_actor>,
    // install: wants to know what these names of its own stand for; answered by `recalled`
    caf::reacts_to<recall_atom, std::string, std::vector<ledger::ReplayKey>, install_actor>,
    // itself: what had queued up before this is a batch
    caf::reacts_to<tick_atom>,
    // shutdown
    caf::replies_to<close_atom>::with<caf::ok_atom>>;

// Answers operators from the store, without waking an install. Blocks, so it has a thread of its
// own; apart from the loader's, so that a long listing delays no relay.
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
