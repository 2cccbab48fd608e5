// The live figures: a histogram's precision, the figures of the last minute, the hottest installs.
#include "actors/figures/figures.hpp"

#include <chrono>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/catch.hpp"
#include "tests/ledger_fixtures.hpp"

namespace credits::actors {
namespace {

using namespace credits::tests;
using namespace std::chrono_literals;

constexpr SteadyTime start{std::chrono::hours{100}};

Counts counts_of(const std::vector<std::uint64_t>& values) {
  const auto histogram = std::make_unique<Histogram>();
  for (const std::uint64_t value : values) histogram->record(value);
  Counts counts;
  histogram->add_to(counts);
  return counts;
}

TEST_CASE("a bucket contains its greatest value, and not the next one") {
  for (std::size_t i = 0; i + 1 < base::buckets::count; ++i) {
    INFO(i);
    REQUIRE(base::buckets::index_of(base::buckets::greatest_in(i)) == i);
    REQUIRE(base::buckets::index_of(base::buckets::greatest_in(i) + 1) == i + 1);
  }
  CHECK(base::buckets::index_of(~std::uint64_t{0}) == base::buckets::count - 1);
}

TEST_CASE("a quantile is never too low, and at most a sixteenth too high") {
  std::mt19937_64 random{1};
  std::vector<std::uint64_t> values(999);
  for (std::uint64_t& value : values) value = random() >> (random() % 36 + 28);
  const Counts counts = counts_of(values);
  std::sort(values.begin(), values.end());
  for (const double share : {0.001, 0.5, 0.9, 0.99, 0.999, 1.0}) {
    const auto rank = static_cast<std::size_t>(std::ceil(share * 999)) - 1;
    INFO(share);
    CHECK(counts.quantile(share) >= values[rank]);
    CHECK(counts.quantile(share) <= values[rank] + values[rank] / 16);
  }
  CHECK(counts.total() == 999);
}

TEST_CASE("the quantiles of nothing are 0") {
  CHECK(counts_of({}).quantile(0.5) == 0);
  CHECK(counts_of({}).total() == 0);
}

TEST_CASE("values below a power of two are counted exactly") {
  const Counts counts = counts_of({0, 63, 64, 65, 127, 128, 1'000'000});
  CHECK(counts.below(64) == 2);
  CHECK(counts.below(128) == 5);
  CHECK(counts.below(1U << 20U) == 7);
  CHECK(counts.sum == 1'000'447);
}

TEST_CASE("values recorded by many threads at once are all counted") {
  const auto measured = std::make_unique<Measured>();
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (std::uint64_t value = 0; value < 10'000; ++value) measured->record(value, start);
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(measured->ever().total() == 40'000);
  CHECK(measured->recent(start).total() == 40'000);
}

TEST_CASE("after a minute the recent figures are gone, and those since the start remain") {
  const auto measured = std::make_unique<Measured>();
  measured->record(5, start);
  CHECK(measured->recent(start + 49s).total() == 1);
  CHECK(measured->recent(start + 61s).total() == 0);
  measured->record(7, start + 81s);  // into the slot of the first value
  CHECK(measured->recent(start + 81s).quantile(1) == 7);
  CHECK(measured->recent(start + 81s).total() == 1);
  CHECK(measured->ever().total() == 2);
}

TEST_CASE("the deepest mailbox is that of the last minute") {
  const auto figures = std::make_unique<Figures>();
  figures->mailbox_depth.at(start).raise(9);
  figures->mailbox_depth.at(start + 30s).raise(4);
  figures->mailbox_depth.at(start + 30s).raise(2);
  CHECK(figures->deepest_mailbox(start + 40s) == 9);
  CHECK(figures->deepest_mailbox(start + 80s) == 4);
  CHECK(figures->deepest_mailbox(start + 200s) == 0);
}

// Installs that receive and handle requests.
class Installs {
 public:
  explicit Installs(std::size_t count) {
    while (stats_.size() < count) stats_.push_back(std::make_shared<InstallStats>(november));
  }

  void receive(std::size_t install) {
    add_one(stats_[install]->received);
    add_one(stats_[install]->handled);
    hottest.received(std::to_string(install), stats_[install]);
  }

  void end(std::size_t install) { hottest.ended(*stats_[install]); }

  std::uint64_t handled(std::size_t install) const { return stats_[install]->handled; }

  Hottest hottest;

 private:
  std::vector<std::shared_ptr<InstallStats>> stats_;
};

TEST_CASE("the hottest installs are those with the most requests, whatever the order of requests") {
  constexpr std::size_t count = 1'000;
  Installs installs{count};
  std::mt19937 random{2};
  std::exponential_distribution<double> hot{0.02};
  std::vector<std::uint64_t> requests(count);
  for (int i = 0; i < 100'000; ++i) {
    const auto install = std::min(count - 1, static_cast<std::size_t>(hot(random)));
    installs.receive(install);
    ++requests[install];
  }
  const auto hottest = installs.hottest.list();
  REQUIRE(hottest.size() == Hottest::size);
  std::sort(requests.rbegin(), requests.rend());
  for (std::size_t i = 0; i < hottest.size(); ++i) {
    INFO(i);
    CHECK(hottest[i].messages_handled == requests[i]);
    CHECK(hottest[i].messages_handled == installs.handled(std::stoul(hottest[i].install_id)));
  }
}

TEST_CASE("an install that has ended leaves the hottest, and another takes its place") {
  Installs installs{Hottest::size + 1};
  for (std::size_t i = 0; i < Hottest::size; ++i) {
    installs.receive(i);
    installs.receive(i);
  }
  installs.receive(Hottest::size);
  installs.end(0);
  CHECK(installs.hottest.list().size() == Hottest::size - 1);
  installs.receive(Hottest::size);
  const auto hottest = installs.hottest.list();
  CHECK(hottest.size() == Hottest::size);
  CHECK(std::none_of(hottest.begin(), hottest.end(),
                     [](const HotInstall& hot) { return hot.install_id == "0"; }));
}

TEST_CASE("commits and settles are debits, by tier and backend; each entry counts by its kind") {
  const auto entry = [](ledger::EntryKind kind, const char* tier, ledger::Backend backend,
                        std::int64_t credits) {
    ledger::Entry made;
    made.kind = kind;
    made.tier = tier;
    made.backend = backend;
    made.credits = credits;
    return made;
  };
  using ledger::EntryKind;
  StoredEntries stored;
  stored.add(entry(EntryKind::commit, "core", ledger::Backend::gemini, 3));
  stored.add(entry(EntryKind::commit, "core", ledger::Backend::hardware, 5));
  stored.add(entry(EntryKind::settle, "core", ledger::Backend::gemini, 7));
  stored.add(entry(EntryKind::reserve, "pro", ledger::Backend::gemini, 100));
  stored.add(entry(EntryKind::release, "pro", ledger::Backend::gemini, 100));
  REQUIRE(stored.debits.size() == 2);
  CHECK(stored.debits[0].commits == 1);
  CHECK(stored.debits[0].credits == 10);
  CHECK(stored.debits[1].backend == ledger::Backend::hardware);
  CHECK(stored.debits[1].credits == 5);
  CHECK(stored.by_kind[static_cast<std::size_t>(EntryKind::commit)] == 2);
  CHECK(stored.by_kind[static_cast<std::size_t>(EntryKind::settle)] == 1);
  CHECK(stored.by_kind[static_cast<std::size_t>(EntryKind::expire)] == 0);
}

TEST_CASE("a state has no age before it begins and after it ends") {
  Since since;
  CHECK(since.age(start) == 0ms);
  since.begin(start);
  CHECK(since.age(start + 3s) == 3s);
  CHECK(since.age(start - 1s) == 0ms);
  since.end();
  CHECK(since.age(start + 4s) == 0ms);
}

}  // namespace
}  // namespace credits::actors
