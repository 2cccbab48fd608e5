// One install as the wire contract describes it: one thread, no actors, no store, no entries to
// apply. It shares only plain types with the ledger, and none of its rules, so that it does not
// repeat the ledger's mistakes. model_test.cpp compares the two.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "actors/ledger/entry.hpp"
#include "actors/ledger/quota.hpp"
#include "actors/ledger/row.hpp"
#include "actors/ledger/time.hpp"
#include "actors/operation.hpp"

namespace credits::tests {

// The state of the world when an operation runs.
struct Surroundings {
  const ledger::Quota& quota;
  ledger::Time now;
  bool has_hardware = false;  // the server's setting
  // The id that the ledger gave the reservation written as this version: the contract leaves only
  // this open.
  const std::function<std::string(std::uint64_t)>& reservation_id_at;
};

class Model {
 public:
  explicit Model(std::string install_id);

  actors::Answer run(const actors::Operation& operation, const Surroundings& surroundings);

  // To be called with each time that the clock shows: anything 24 h old by then may be forgotten.
  void clock_shows(ledger::Time now);

  // The replay keys that `operation` looks up and that may have been forgotten.
  std::vector<ledger::ReplayKey> doubtful_replay_keys(const actors::Operation& operation) const;
  void forget(const ledger::ReplayKey& name);

  // The row after the last mutation; version 0 if there was none.
  const ledger::Row& row() const { return row_; }

  // The entries since the last call, without receipts.
  std::vector<ledger::Entry> take_trail();

  friend bool operator==(const Model&, const Model&) = default;

 private:
  using Kind = ledger::EntryKind;

  // A used key, or a reservation that has ended.
  struct Memory {
    ledger::Time since{};
    Kind how = Kind::commit;
    std::optional<ledger::Receipt> receipt;  // of a key, and of a settle
    bool may_be_forgotten = false;
    std::string tier{};  // of a reservation

    friend bool operator==(const Memory&, const Memory&) = default;
  };
  using Memories = std::map<std::string, Memory, std::less<>>;

  actors::Answer get(const Surroundings& around) const;
  actors::Answer create(const Surroundings& around);
  actors::Answer plan(const actors::Plan& wish, const Surroundings& around);
  actors::Answer commit(const actors::Commit& debit, const actors::Operation& operation,
                        const Surroundings& around);
  actors::Answer reserve(const actors::Reserve& wish, const actors::Operation& operation,
                         const Surroundings& around);
  actors::Answer settle(const actors::Settle& wish, const actors::Operation& operation,
                        const Surroundings& around);
  actors::Answer release(const actors::Release& wish, const Surroundings& around);

  bool exists() const { return row_.version > 0; }
  const std::string& tier_of(const std::optional<std::string>& wished) const;
  ledger::Row row_at(ledger::Time now) const;
  ledger::Balance balance_at(std::string_view tier, const Surroundings& around) const;
  actors::InstallView view(const Surroundings& around) const;
  bool has_gemini_room(const ledger::Reservation& held, std::int64_t credits,
                       const Surroundings& around) const;

  const Memory* memory_of(const Memories& memories, const std::string& name) const;
  const ledger::Reservation* reservation_of(const std::string& id) const;
  std::optional<actors::Answer> answer_to_key(const actors::Operation& operation) const;
  actors::Answer keep(const actors::Answer& answer, const actors::Operation& operation, Kind how,
                      const Surroundings& around);

  void begin_mutation(const Surroundings& around);
  void expire_due(ledger::Time now);
  void end(const ledger::Reservation& reservation, Kind how, ledger::Time now);
  // `began`: the version of its reserve, otherwise its own.
  void debit(const ledger::Reservation& spent, std::uint64_t began, const Surroundings& around);
  void write(ledger::Entry entry, ledger::Time now);

  ledger::Row row_;
  Memories keys_;
  Memories ended_;
  std::map<std::string, std::uint64_t> began_;  // reservations, by the versions of their reserves
  std::uint64_t tier_began_ = 0;  // version at which the debit that set the tier began
  std::vector<ledger::Entry> trail_;
};

}  // namespace credits::tests
