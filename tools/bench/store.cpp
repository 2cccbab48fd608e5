// bench_store: commits per second of the SQLite store alone, without actors and snapshots: the
// difference from bench_actors is their cost.
#include "persistence/sqlite/store.hpp"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "actors/ledger/rules.hpp"
#include "http/codec/quota.hpp"
#include "tools/bench/setting.hpp"

namespace credits::bench {

namespace {

struct Options {
  double seconds = 3;
  std::size_t rounds = 3;
  std::size_t batch_mutations = 1'000;
  std::size_t installs = 1'000;
  std::string directory = ".";
};

// Makes commits to random installs.
class Mutations {
 public:
  explicit Mutations(std::size_t installs) : stamps_(installs), pick_{0, installs - 1} {
    for (std::size_t i = 0; i < installs; ++i) {
      rows_.push_back(ledger::blank_row(install_id_of(i), now_));
    }
  }

  // The last ones.
  void stored(const std::vector<persistence::Appended>& appended) {
    for (std::size_t i = 0; i < appended.size(); ++i) stamps_[picked_[i]] = appended[i].stamp;
  }

  std::vector<persistence::Mutation> next(std::size_t count) {
    std::vector<persistence::Mutation> mutations;
    picked_.clear();
    for (std::size_t i = 0; i < count; ++i) {
      ledger::Row& row = rows_[picked_.emplace_back(pick_(random_))];
      ledger::Entry entry;
      entry.version = row.version + 1;
      entry.at = now_;
      entry.kind = ledger::EntryKind::commit;
      entry.tier = "max";
      entry.backend = ledger::Backend::gemini;
      entry.credits = 1;
      entry.counter = ledger::Counter::monthly;
      entry.month = row.month;
      entry.mutation_id = {random_(), random_()};
      ledger::apply(row, entry);
      mutations.push_back({row, {std::move(entry)}, stamps_[picked_.back()]});
    }
    return mutations;
  }

 private:
  const ledger::Time now_ = actors::system_time();
  std::vector<ledger::Row> rows_;
  std::vector<persistence::Stamp> stamps_;
  std::vector<std::size_t> picked_;  // rows of the last mutations
  std::mt19937_64 random_{1};
  std::uniform_int_distribution<std::size_t> pick_;
};

void run(const Options& options) {
  const Directory directory{options.directory};
  const auto store = persistence::open_sqlite_store(directory.path());
  Mutations mutations{options.installs};
  std::vector<double> rates;
  for (std::size_t round = 0; round < options.rounds; ++round) {
    rates.push_back(rate_of(options.seconds, [&] {
      mutations.stored(store->append(mutations.next(options.batch_mutations)));
      return options.batch_mutations;
    }));
    std::printf("round %zu: %.0f commits/s\n", round + 1, rates.back());
  }
  std::printf("median: %.0f commits/s of the store, %zu in a batch, on %zu installs\n",
              median(rates), options.batch_mutations, options.installs);
}

}  // namespace

}  // namespace credits::bench

int main(int argc, char** argv) {
  credits::bench::Options options;
  CLI::App app{"Measures commits per second of the SQLite store, without actors."};
  app.option_defaults()->always_capture_default();
  app.add_option("--seconds", options.seconds, "Length of each round");
  app.add_option("--rounds", options.rounds)->check(CLI::Range(1, 1'000));
  app.add_option("--batch-mutations", options.batch_mutations, "Mutations per durable write")
      ->check(CLI::Range(1, 100'000));
  app.add_option("--installs", options.installs)->check(CLI::Range(1, 300'000));
  app.add_option("--directory", options.directory, "Directory on the disk to measure");
  CLI11_PARSE(app, argc, argv);
  credits::bench::run(options);
}
