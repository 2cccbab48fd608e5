// Rows and mutations for tests of the layers above the rules.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "actors/ledger/rules.hpp"
#include "persistence/store.hpp"

namespace credits::tests {

inline const ledger::Time november = ledger::parse_time("2026-11-24T03:53:00.000Z").value();
inline const ledger::Time december = ledger::parse_time("2026-12-01T00:00:00.000Z").value();

inline const ledger::Quota quota{{"core", {ledger::Counter::lifetime, 100, 50}},
                                 {"pro", {ledger::Counter::monthly, 1000, 500}},
                                 {"max", {ledger::Counter::monthly, std::nullopt, std::nullopt}}};

// Applies `entry` to `row`; together they are a mutation for a store.
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

inline persistence::Mutation reserve(ledger::Row& row, const std::string& reservation_id,
                                     std::int64_t credits = 1, const std::string& tier = "core",
                                     ledger::Time now = november) {
  const ledger::Debit hold{ledger::Backend::gemini, tier, credits};
  return mutate(row, ledger::reserve_entry(row, hold, reservation_id,
                                           now + std::chrono::minutes{10}, quota, now));
}

inline persistence::Mutation settle(ledger::Row& row, const std::string& reservation_id,
                                    std::int64_t credits, ledger::Time now = november) {
  const ledger::Reservation held = *ledger::find_reservation(row, reservation_id);
  return mutate(row, ledger::settle_entry(row, held, held.backend, credits, now));
}

// A commit with `key`.
inline persistence::Mutation commit_with_key(ledger::Row& row, const std::string& key,
                                             ledger::Time now = november) {
  ledger::Entry entry = ledger::commit_entry(row, {ledger::Backend::gemini, "core", 1}, quota, now);
  entry.idempotency_key = key;
  entry.receipt = ledger::Receipt{"request of " + key, 200, R"({"answer":"\u00e4"})"};
  return mutate(row, std::move(entry));
}

// Combines successive mutations of one install.
inline persistence::Mutation merged(const std::vector<persistence::Mutation>& mutations) {
  persistence::Mutation all{mutations.back().after, {}};
  for (const persistence::Mutation& mutation : mutations) {
    all.entries.insert(all.entries.end(), mutation.entries.begin(), mutation.entries.end());
  }
  return all;
}

inline std::vector<persistence::Outcome> outcomes_of(
    const std::vector<persistence::Appended>& appended) {
  std::vector<persistence::Outcome> outcomes;
  for (const persistence::Appended& each : appended) outcomes.push_back(each.outcome);
  return outcomes;
}

// The stamp that `mutation` follows: the store's if its version matches, otherwise one of no row.
inline persistence::Stamp followed_by(const persistence::Mutation& mutation,
                                      persistence::Store& store) {
  const std::uint64_t version = mutation.entries.front().version - 1;
  try {
    const auto stored = store.load(std::span{&mutation.after.install_id, 1}).front();
    if (stored.stamp.version == version) return stored.stamp;
  } catch (const persistence::StoreError& error) {
    if (error.kind() != persistence::StoreErrorKind::damaged) throw;
    // append() reports it
  }
  return {version};
}

// Appends mutations of rows of these versions.
inline std::vector<persistence::Outcome> append(persistence::Store& store,
                                                std::vector<persistence::Mutation> mutations) {
  std::set<std::string> installs;
  for (persistence::Mutation& mutation : mutations) {
    const bool is_first = installs.insert(mutation.after.install_id).second;
    if (is_first) mutation.follows = followed_by(mutation, store);
  }
  return outcomes_of(store.append(mutations));
}

inline persistence::Outcome append(persistence::Store& store,
                                   const persistence::Mutation& mutation) {
  return append(store, std::vector{mutation}).front();
}

inline ledger::ReplayKey key(const std::string& text) {
  return {ledger::ReplayKey::Kind::idempotency_key, text};
}

inline ledger::ReplayKey ended(const std::string& reservation_id) {
  return {ledger::ReplayKey::Kind::ended_reservation, reservation_id};
}

}  // namespace credits::tests
