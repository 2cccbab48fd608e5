// Judges an operation on an install's row: the one place where the rules meet the requests. Pure,
// so that every decision is tested without an actor.
#pragma once

#include <functional>
#include <unordered_map>
#include <vector>

#include "actors/ledger/entry.hpp"
#include "actors/ledger/quota.hpp"
#include "actors/ledger/row.hpp"
#include "actors/operation.hpp"

namespace credits::actors {

// The inputs to a judgement besides the row and the operation.
struct JudgeContext {
  const ledger::Quota& quota;
  ledger::Time now;
  bool has_hardware = false;
  ledger::MutationId mutation_id{};  // for the entries that it writes
  // Encodes an answer as the client sees it, so that it can be kept.
  const std::function<Recorded(const Answer&)>& record;
};

// The entries found for replay keys.
using Remembered = std::unordered_map<ledger::ReplayKey, ledger::Entry, ledger::ReplayKeyHash>;

struct Verdict {
  std::vector<ledger::Entry> entries;  // the operation's effect on the row, oldest first
  Answer answer;
};

InstallView view_of(const ledger::Row& row, const ledger::Quota& quota, ledger::Time now);

// The replay keys whose entries, if there are any, `operation` on `row` needs.
std::vector<ledger::ReplayKey> replay_keys_needed(const ledger::Row& row,
                                                  const Operation& operation);

// Runs `operation` on `row` (version 0: the install does not exist yet), and applies the verdict's
// entries to it. A mutation also ends the reservations that are due.
Verdict judge(ledger::Row& row, const Operation& operation, const Remembered& remembered,
              const JudgeContext& context);

}  // namespace credits::actors
