// What a relay asks of one install, and what it is answered. No CAF in here: judge() is a pure
// function, so that every decision can be tested without an actor.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "actors/ledger/rules.hpp"

namespace credits::actors {

// Shows the install; creates nothing.
struct Get {};

// Shows the install, which is created if it is new.
struct Create {};

// Says which backend a request may use. Debits nothing, but creates an install that is new.
struct Plan {
  std::optional<std::string> tier;   // none: the row's own
  std::optional<bool> has_hardware;  // none: the server's setting
  std::int64_t credits = 1;
};

// Debits what a backend has been paid for.
using Commit = ledger::Debit;

struct Operation {
  std::string install_id;
  std::variant<Get, Create, Plan, Commit> action;
};

// An install as it reads now: rolled over to the current month, with the balance of its own tier.
struct InstallView {
  ledger::Row row;
  ledger::Balance balance;
  bool created = false;  // by this very operation
};

struct PlanView {
  ledger::Plan plan;
  ledger::Balance balance;  // of the tier that was asked for
};

enum class Refusal : std::uint8_t { unknown_install, unknown_tier };

// An operation that did nothing, and why.
struct Refused {
  Refusal reason = Refusal::unknown_install;
  std::string value;  // the one at fault
};

using Answer = std::variant<InstallView, PlanView, Refused>;

// What an operation is judged by, besides the row.
struct Circumstances {
  const ledger::Quota& quota;
  ledger::Time now;
  bool has_hardware = false;
};

struct Verdict {
  std::optional<ledger::Entry> entry;  // what the operation did to the row, if anything
  Answer answer;
};

InstallView view_of(const ledger::Row& row, const Circumstances& circumstances);

// Runs `operation` on `row` (version 0: the install does not exist yet) and changes it by at most
// one entry, whose mutation_id is left to the caller.
Verdict judge(ledger::Row& row, const Operation& operation, const Circumstances& circumstances);

}  // namespace credits::actors
