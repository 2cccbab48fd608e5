// The whole conversation of the service: every actor, every message, and who sends it.
//
//   HTTP threads ──▶ gateway ──▶ router ──▶ install ──▶ persister ──▶ snapshotter
//                       │          ▲  ▲        │  ▲         │
//                       │          │  └retired─┘  └stored───┤
//                       │          └──────────── loader ◀───┘
//                       └──▶ reporter
//
// An answer does not travel back through the actors: a request carries a Promise, and whoever can
// fulfil it does. A promise that is dropped, with its actor or its message, breaks, and so its
// waiting thread is answered at once. (Measured beside CAF's request/receive: a scoped actor on
// each HTTP thread costs a timer and two more messages for each request.)
#pragma once

#include <caf/all.hpp>
#include <cstdint>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "actors/operation.hpp"
#include "persistence/store.hpp"

namespace credits::actors {

// Copyable, as CAF wants messages to be; still to be fulfilled once. An exception in it is a
// persistence::StoreError: the operation may have been done.
template <class Result>
using Promise = std::shared_ptr<std::promise<Result>>;

struct Request {
  Operation operation;
  Promise<Answer> answer;
};

struct ListRequest {
  persistence::ListQuery query;
  Promise<std::vector<ledger::Row>> rows;
};

struct EntriesRequest {
  std::string install_id;
  std::uint64_t before_version = 0;
  std::size_t limit = 0;
  Promise<std::optional<std::vector<ledger::Entry>>> entries;  // none: unknown install
};

struct SnapshotRequest {
  Promise<std::shared_ptr<persistence::RowCursor>> cursor;
};

// Counts an install's reloads. What it wrote before a failure carries an older one.
using Epoch = std::uint64_t;

// Why a write did not come to be.
enum class WriteFailure : std::uint8_t {
  conflict,  // not stored: someone else wrote the install
  failed,    // may have been stored
};

using run_atom = caf::atom_constant<caf::atom("run")>;
using list_atom = caf::atom_constant<caf::atom("list")>;
using entries_atom = caf::atom_constant<caf::atom("entries")>;
using snapshot_atom = caf::atom_constant<caf::atom("snapshot")>;
using load_atom = caf::atom_constant<caf::atom("load")>;
using loaded_atom = caf::atom_constant<caf::atom("loaded")>;
using append_atom = caf::atom_constant<caf::atom("append")>;
using write_atom = caf::atom_constant<caf::atom("write")>;
using stored_atom = caf::atom_constant<caf::atom("stored")>;
using dropped_atom = caf::atom_constant<caf::atom("dropped")>;
using resume_atom = caf::atom_constant<caf::atom("resume")>;
using retire_atom = caf::atom_constant<caf::atom("retire")>;
using retired_atom = caf::atom_constant<caf::atom("retired")>;
using tick_atom = caf::atom_constant<caf::atom("tick")>;
using close_atom = caf::atom_constant<caf::atom("close")>;

// The row as the store has it, or why it could not be read.
struct Loaded {
  std::optional<ledger::Row> row;
  std::optional<std::string> error;
};

// The owner of one row, and the only one who changes it. Spawned at the first message for its id.
using install_actor = caf::typed_actor<
    // router: an operation to judge
    caf::reacts_to<run_atom, Request>,
    // loader: what the store has
    caf::reacts_to<loaded_atom, Loaded>,
    // persister: all up to this version is durable
    caf::reacts_to<stored_atom, Epoch, std::uint64_t>,
    // persister: nothing from the first unacknowledged version on was acknowledged, nor will be
    caf::reacts_to<dropped_atom, Epoch, WriteFailure, std::string>,
    // router: finish what is under way, report `retired`, and end
    caf::reacts_to<retire_atom>>;

// Finds the install of an id: the only holder of install handles. There are several, each with its
// share of the ids.
using router_actor = caf::typed_actor<
    // gateway: an operation for the install that it names
    caf::reacts_to<run_atom, Request>,
    // itself: time to look for idle installs
    caf::reacts_to<tick_atom>,
    // install: nothing of it is unacknowledged, and it has ended
    caf::reacts_to<retired_atom, std::string>,
    // shutdown: retire all; answered when the last one has ended
    caf::replies_to<close_atom>::with<caf::ok_atom>>;

struct Append {
  install_actor author;
  Epoch epoch = 0;
  persistence::Mutation mutation;
};

// Makes mutations durable, many in one write. Blocks, so it has a thread of its own.
using persister_actor = caf::typed_actor<
    // install: a mutation; answered by `stored` or `dropped`
    caf::reacts_to<append_atom, Append>,
    // itself: what had queued up before this is a batch
    caf::reacts_to<write_atom>,
    // install: it has seen `dropped`; what follows is of a new epoch
    caf::reacts_to<resume_atom, caf::actor_id>,
    // shutdown: write the rest and end
    caf::replies_to<close_atom>::with<caf::ok_atom>>;

// Keeps the store's snapshots close behind its journal. Blocks, so it has a thread of its own.
using snapshotter_actor = caf::typed_actor<
    // persister: there is something new
    caf::reacts_to<stored_atom>,
    // itself: time for a checkpoint
    caf::reacts_to<tick_atom>,
    // shutdown: a last checkpoint, and end
    caf::replies_to<close_atom>::with<caf::ok_atom>>;

// Reads rows for installs that start. Blocks, so it has a thread of its own; apart from the
// persister's, so that a cold install does not wait for a sync.
using loader_actor = caf::typed_actor<
    // install: wants its row; answered by `loaded`
    caf::reacts_to<load_atom, std::string, install_actor>,
    // itself: what had queued up before this is a batch
    caf::reacts_to<tick_atom>,
    // shutdown
    caf::replies_to<close_atom>::with<caf::ok_atom>>;

// Answers operators from the store, without waking an install. Blocks, so it has a thread of its
// own; apart from the loader's, so that a long listing delays no relay.
using reporter_actor = caf::typed_actor<caf::reacts_to<list_atom, ListRequest>,
                                        caf::reacts_to<entries_atom, EntriesRequest>,
                                        caf::reacts_to<snapshot_atom, SnapshotRequest>,
                                        // shutdown
                                        caf::replies_to<close_atom>::with<caf::ok_atom>>;

// Where requests from outside enter: hands each to the actor that can answer it.
using gateway_actor =
    caf::typed_actor<caf::reacts_to<run_atom, Request>, caf::reacts_to<list_atom, ListRequest>,
                     caf::reacts_to<entries_atom, EntriesRequest>,
                     caf::reacts_to<snapshot_atom, SnapshotRequest>,
                     // shutdown: drop the handles and end
                     caf::replies_to<close_atom>::with<caf::ok_atom>>;

}  // namespace credits::actors

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(credits::actors::Request)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(credits::actors::ListRequest)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(credits::actors::EntriesRequest)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(credits::actors::SnapshotRequest)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(credits::actors::WriteFailure)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(credits::actors::Loaded)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(credits::actors::Append)
