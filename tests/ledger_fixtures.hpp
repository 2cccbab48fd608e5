// Rows and mutations for tests of what stands on the rules.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>

#include "actors/ledger/rules.hpp"
#include "persistence/store.hpp"

namespace credits::tests {

inline const ledger::Time november = ledger::parse_time("2026-11-24T03:53:00.000Z").value();
inline const ledger::Time december = ledger::parse_time("2026-12-01T00:00:00.000Z").value();

inline const ledger::Quota quota{{"core", {ledger::Counter::lifetime, 100, 50}},
                                 {"pro", {ledger::Counter::monthly, 1000, 500}},
                                 {"max", {ledger::Counter::monthly, std::nullopt, std::nullopt}}};

// Changes `row` by `entry`; the two together are what a store appends.
inline persistence::Mutation mutate(ledger::Row& row, ledger::Entry entry) {
  static std::uint64_t mutations = 0;
  entry.mutation_id = {0x5eed, ++mutations};
  ledger::apply(row, entry);
  return {row, {std::move(entry)}};
}

inline persistence::Mutation create(ledger::Row& row, ledger::Time now = november) {
  return mutate(row, ledger::create_entry(row, now));
}

inline persistence::Mutation commit(ledger::Row& row, std::int64_t credits = 1,
                                    const std::string& tier = "core", ledger::Time now = november) {
  const ledger::Debit debit{ledger::Backend::gemini, tier, credits};
  return mutate(row, ledger::commit_entry(row, debit, quota, now));
}

}  // namespace credits::tests
