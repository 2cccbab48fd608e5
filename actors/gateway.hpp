// The one door into the actors: each request from outside becomes a message here, to the actor that
// can answer it.
//
// It is no actor of its own. It has no state, and as a mailbox that every request passes it cost
// each one a message, and all of them a queue that they shared; BENCHMARKS.md has the figures.
#pragma once

#include <vector>

#include "actors/interfaces.hpp"
#include "actors/system.hpp"

namespace credits::actors {

// Any number of threads may use it at once. What it is given must outlive it, and nothing may use
// it once close_ledger() has begun.
class Gateway {
 public:
  explicit Gateway(const LedgerActors& actors) : actors_{actors} {}

  // Operations are judged on the calling thread as far as they wait for nothing; see
  // inline_executor.hpp. Those of one call that name the same install are judged in their order.
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
