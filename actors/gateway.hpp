// The only way into the actors: turns each outside request into a message to the actor that can
// answer it.
//
// It is not an actor. It has no state, and as an actor it cost each request a message and made all
// requests share one mailbox; BENCHMARKS.md has the figures.
#pragma once

#include <vector>

#include "actors/interfaces.hpp"
#include "actors/system.hpp"

namespace credits::actors {

// Thread-safe. The LedgerActors must outlive it. Not to be used once close_ledger() has begun.
class Gateway {
 public:
  explicit Gateway(const LedgerActors& actors) : actors_{actors} {}

  // An operation that has nothing to wait for is judged on the calling thread; see
  // inline_executor.hpp. Operations of one call on the same install are judged in their order.
  void run(Request request) const;
  void run(std::vector<Request> requests) const;

  void list(ListRequest request) const;
  void entries(EntriesRequest request) const;
  void snapshot(SnapshotRequest request) const;
  void report(ReportRequest request) const;
  void import(ImportRequest request) const;

 private:
  const LedgerActors& actors_;
};

}  // namespace credits::actors
