// The persister actor: makes mutations durable by group commit, without a timer. While one batch is
// being synced, the next one queues up in the mailbox. A message that the persister sends itself
// marks the end of the queue, so the load sets the size of a batch, up to a bound.
//
// It completes the requests itself: mutations, and reads that were judged on mutations not yet
// durable. After a failed write, a writer may still have mutations in the mailbox that build on the
// lost one. Therefore the persister fences the writer: it gives its messages back until the writer
// reports that whatever follows does not build on a lost write.
//
// Over a shared store, a read may have been judged after the write that it waits for was stored,
// and another node may have written since. If the read arrives when that write is over, the
// persister compares it with the store first.
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
  // Reports a clock that is behind the ledger, at once and then each minute.
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
  // An install with a mutation in this batch.
  struct Writer {
    install_actor install;
    std::shared_ptr<InstallStats> stats;
    std::uint64_t version = 0;  // including its mutations in this batch
    std::optional<WriteFailure> failure{};
    bool wants_drained = false;
    std::vector<Unanswered> unanswered{};  // requests to give back
  };

  // A request that waits for this batch.
  struct Waiting {
    std::size_t writer = 0;
    bool mutates = false;
    Request request;
  };

  // Why an install's writes are not taken for now.
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
  // Returns nullopt if the write failed; then all requests have been given back.
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
  void count_done(std::size_t mutations);
  void batch_is_done_with();
  void write_worked();
  void count_write(SteadyTime began, std::size_t rows);
  void count_not_stored(WriteFailure failure);
  void count_stored(const std::vector<persistence::Mutation>& mutations,
                    const std::vector<persistence::Appended>& appended);

  std::vector<persistence::Mutation> batch_;
  std::vector<Waiting> waiting_;  // the mutating ones match the mutations of batch_, in order
  std::vector<Writer> writers_;
  std::vector<Read> late_reads_;  // to be compared with the store before the next write
  std::uint64_t batch_number_ = 1;
  std::unordered_map<caf::actor_id, Fence> fenced_;
  bool write_is_due_ = false;
  SteadyTime told_of_trouble_at_{};
  std::optional<SteadyTime> told_of_clock_at_;  // none: the clock is right
};

persister_actor::behavior_type persister(persister_actor::stateful_pointer<PersisterState> self,
                                         persistence::Store* store, Environment* environment,
                                         snapshotter_actor snapshotter, const Tuning& tuning);

}  // namespace credits::actors
