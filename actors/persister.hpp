// The persister actor: makes mutations durable by group commit, without a timer. While one batch is
// being synced, the next one queues up in the mailbox; a message that it sends itself marks where
// the queue ended, so a batch is as large as the load makes it, up to a bound.
//
// It gives the answers itself: those of a mutation, and those of a read that was judged on one.
// After a failed write a writer may still have mutations in the mailbox that build on the lost
// one. The persister fences the writer off: it gives back what comes of it, until the writer says
// that what follows builds on nothing lost.
//
// Where others write to the store too, a read may have been judged after the write that it waits
// for was done, so that another node has written since. If it comes when that write is over, it is
// compared with the store first.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "actors/environment.hpp"
#include "actors/interfaces.hpp"

namespace credits::actors {

struct PersisterState {
  explicit PersisterState(persister_actor::stateful_pointer<PersisterState> actor) : self{actor} {}

  void append(Append append);
  void unconfirmed(Unconfirmed unconfirmed);
  void import(ImportRequest request);
  void write();
  void probe();
  // Tells once, and each minute, of a clock that is behind what the ledger has.
  void watch_clock();
  void resume(const install_actor& install);
  void drain(const install_actor& install);
  caf::ok_atom close();

  static inline const char* name = "persister";

  persister_actor::stateful_pointer<PersisterState> self;
  persistence::Store* store = nullptr;
  Environment* environment = nullptr;
  snapshotter_actor snapshotter;
  Tuning tuning;

 private:
  // An install whose answers wait for this batch.
  struct Writer {
    install_actor install;
    std::shared_ptr<InstallStats> stats;
    std::uint64_t version = 0;  // with what of it is in the batch
    std::optional<WriteFailure> failure{};
    bool wants_drained = false;
    std::vector<Unanswered> unanswered{};  // what is to be given back
  };

  // A request whose answer waits for this batch.
  struct Waiting {
    std::size_t writer = 0;
    bool mutates = false;
    Request request;
  };

  // Why the writes of a writer are not taken at present.
  struct Fence {
    WriteFailure failure = WriteFailure::failed;
    std::string reason;
  };

  bool is_writer(const InstallStats& stats) const { return stats.batch == batch_number_; }
  std::size_t writer_of(const Append& append);
  void add_to_batch(persistence::Mutation mutation, Writer& writer);
  void complete_late(Append append);
  void confirm_late_reads();
  void write_soon();
  void acknowledge(const std::vector<persistence::Appended>& appended);
  void forget(const std::vector<router_actor>& routers);
  // Nothing if it has failed, and all has been given back.
  std::optional<std::vector<persistence::Appended>> store_batch();
  std::vector<persistence::Appended> store_and_count(
      const std::vector<persistence::Mutation>& mutations);
  void write_failed(const persistence::StoreError& error);
  void report_failure(StoreHealth::Part part, const persistence::StoreError& error);
  void report_recovery(bool has_recovered);
  void remind();
  void give_all_back(const std::string& reason);
  void fence(Writer& writer, WriteFailure failure, const std::string& reason);
  void clear_batch();
  void batch_is_done_with();
  void write_worked();
  void count_write(SteadyTime began, std::size_t rows);
  void count_not_stored(WriteFailure failure);
  void count_stored(const std::vector<persistence::Mutation>& mutations,
                    const std::vector<persistence::Appended>& appended);

  std::vector<persistence::Mutation> batch_;
  std::vector<Waiting> waiting_;  // the mutating ones stand for the mutations of batch_, in order
  std::vector<Writer> writers_;
  std::vector<Read> late_reads_;  // to be compared before the next write
  std::uint64_t batch_number_ = 1;
  std::unordered_map<caf::actor_id, Fence> fenced_;
  bool write_is_due_ = false;
  SteadyTime told_of_trouble_at_{};
  std::optional<SteadyTime> told_of_clock_at_;  // none: the clock is well
};

persister_actor::behavior_type persister(persister_actor::stateful_pointer<PersisterState> self,
                                         persistence::Store* store, Environment* environment,
                                         snapshotter_actor snapshotter, const Tuning& tuning);

}  // namespace credits::actors
