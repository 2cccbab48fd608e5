// The quota in force, its conditional replacement, and a storage that does not answer.
#include "http/api/quota_storage.hpp"

#include <chrono>
#include <filesystem>
#include <fstream>
#include <future>
#include <optional>
#include <thread>
#include <utility>

#include "tests/catch.hpp"
#include "tests/ledger_fixtures.hpp"
#include "tests/temporary_directory.hpp"
#include "tests/told.hpp"

namespace credits::http {
namespace {

using namespace credits::tests;
using namespace std::chrono_literals;

// Blocks in a write until it is released.
class BlockedStorage : public QuotaStorage {
 public:
  ledger::Quota read() override { return quota; }
  void write(const ledger::Quota&) override {
    has_begun.set_value();
    may_end.get_future().wait();
  }
  std::optional<ledger::Quota> write_if(const QuotaCondition&, const ledger::Quota&) override {
    return std::nullopt;
  }
  bool is_shared() const override { return false; }

  std::promise<void> has_begun;
  std::promise<void> may_end;
};

// Keeps a quota in memory.
class MemoryStorage : public QuotaStorage {
 public:
  MemoryStorage(ledger::Quota first, bool is_shared)
      : stored{std::move(first)}, is_shared_{is_shared} {}

  ledger::Quota read() override { return stored; }
  void write(const ledger::Quota& quota) override { stored = quota; }
  std::optional<ledger::Quota> write_if(const QuotaCondition& condition,
                                        const ledger::Quota& quota) override {
    if (!condition(stored)) return stored;
    stored = quota;
    return std::nullopt;
  }
  bool is_shared() const override { return is_shared_; }

  ledger::Quota stored;

 private:
  const bool is_shared_;
};

// The condition that the stored quota is `expected`.
QuotaCondition is(const ledger::Quota& expected) {
  return [expected](const ledger::Quota& stored) { return stored == expected; };
}

TEST_CASE(
    "a call that finds the quota's storage busy for too long gives up, and the first call "
    "continues") {
  BlockedStorage storage;
  actors::QuotaInForce in_force{{}};
  QuotaKeeper keeper{storage, in_force, 20ms};
  std::thread first{[&] { keeper.replace(quota); }};
  storage.has_begun.get_future().wait();
  check_tells(told_by<QuotaStorageError>([&] { keeper.replace({}); }), {"does not answer"});
  check_tells(told_by<QuotaStorageError>([&] { keeper.reload(); }), {"does not answer"});
  CHECK(keeper.in_force() == ledger::Quota{});
  storage.may_end.set_value();
  first.join();
  CHECK(keeper.in_force() == quota);
}

TEST_CASE("a condition is judged on the stored quota, and decides what is in force") {
  const ledger::Quota old{{"core", {ledger::Counter::lifetime, 1, std::nullopt}}};
  const ledger::Quota other{{"core", {ledger::Counter::lifetime, 2, std::nullopt}}};
  struct Case {
    bool is_shared;
    ledger::Quota stored;
    ledger::Quota in_force;
    ledger::Quota expected;
    Replacement outcome;
    ledger::Quota stored_then;
    ledger::Quota in_force_then;
  };
  const auto row = GENERATE_REF(Catch::Generators::values<Case>({
      {false, old, old, old, Replacement::done, quota, quota},
      {false, old, old, other, Replacement::refused, old, old},
      {false, other, old, old, Replacement::refused_until_reload, other, old},
      {false, other, old, other, Replacement::done, quota, quota},
      {true, old, old, old, Replacement::done, quota, quota},
      {true, old, old, other, Replacement::refused, old, old},
      {true, other, old, old, Replacement::refused_and_adopted, other, other},
      {true, other, old, other, Replacement::done, quota, quota},
  }));
  MemoryStorage storage{row.stored, row.is_shared};
  actors::QuotaInForce in_force{row.in_force};
  QuotaKeeper keeper{storage, in_force};
  CHECK(keeper.replace_if(is(row.expected), quota) == row.outcome);
  CHECK(storage.stored == row.stored_then);
  CHECK(keeper.in_force() == row.in_force_then);
}

TEST_CASE("a file is compared in its current state, by its meaning and not its spelling") {
  const TemporaryDirectory directory;
  const auto path = directory.path() / "quota.json";
  QuotaFile file{path};
  file.write(quota);
  const ledger::Quota other{{"core", {ledger::Counter::lifetime, 2, std::nullopt}}};
  std::ofstream{path} << "\n{ \"core\":\n { \"lifetime\": 2 } }\n";
  CHECK(file.write_if(is(quota), quota) == other);
  CHECK(file.read() == other);
  CHECK(file.write_if(is(other), quota) == std::nullopt);
  CHECK(file.read() == quota);
  std::ofstream{path} << "{";
  check_tells(told_by<QuotaStorageError>([&] { file.write_if(is(quota), quota); }),
              {path.string()});
  std::filesystem::remove(path);
  check_tells(told_by<QuotaStorageError>([&] { file.write_if(is(quota), quota); }),
              {path.string()});
  CHECK_FALSE(std::filesystem::exists(path));
}

}  // namespace
}  // namespace credits::http
