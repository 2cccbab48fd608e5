// bench_actors: commits per second in process, through all actors and SQLite with a sync per batch,
// with a fixed number of commits in flight.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <deque>
#include <future>
#include <random>
#include <string>
#include <utility>

#include "actors/inline_executor.hpp"
#include "tools/bench/setting.hpp"

namespace credits::bench {

namespace {

struct Options {
  double seconds = 5;
  std::size_t rounds = 5;
  std::size_t in_flight = 1'000;
  std::size_t installs = 100'000;
  bool fills = false;
  std::string directory = ".";
};

// Keeps `in_flight` commits on random installs in flight.
class Driver {
 public:
  Driver(Ledger& ledger, const Options& options) : ledger_{ledger}, installs_{options.installs} {
    for (std::size_t i = 0; i < options.in_flight; ++i) send();
  }
  ~Driver() {
    for (auto& answer : answers_) answer.wait();
  }
  Driver(const Driver&) = delete;
  Driver& operator=(const Driver&) = delete;

  // Waits for the oldest answer, and sends the next commit. Returns 1.
  std::size_t turn() {
    std::get<actors::InstallView>(answers_.front().get().front());
    answers_.pop_front();
    send();
    return 1;
  }

 private:
  void send() {
    const auto completion = std::make_shared<actors::WaitingCompletion>();
    answers_.push_back(completion->answers());
    const std::size_t number =
        std::uniform_int_distribution<std::size_t>{0, installs_ - 1}(random_);
    ledger_.gateway().run(
        actors::Request{{install_id_of(number), actors::Commit{ledger::Backend::gemini, "core", 1}},
                        std::make_shared<actors::Answers>(1, completion)});
  }

  Ledger& ledger_;
  const std::size_t installs_;
  std::mt19937_64 random_{1};
  std::deque<std::future<std::vector<actors::Answer>>> answers_;
};

void run(const Options& options) {
  Ledger ledger{options.directory, options.installs};
  if (options.fills) ledger.fill(options.installs);
  Driver driver{ledger, options};
  rate_of(options.seconds / 5, [&] { return driver.turn(); });
  std::vector<double> rates;
  for (std::size_t round = 0; round < options.rounds; ++round) {
    const std::uint64_t batches_before = ledger.batches();
    std::size_t commits = 0;
    rates.push_back(rate_of(options.seconds, [&] { return commits += driver.turn(), 1; }));
    std::printf(
        "round %zu: %.0f commits/s, %.1f in a batch\n", round + 1, rates.back(),
        static_cast<double>(commits) / static_cast<double>(ledger.batches() - batches_before));
  }
  std::printf("median: %.0f commits/s with %zu in flight on %zu installs\n", median(rates),
              options.in_flight, options.installs);
}

}  // namespace

}  // namespace credits::bench

int main(int argc, char** argv) {
  credits::bench::Options options;
  CLI::App app{"Measures commits per second through the actors and SQLite, without HTTP."};
  app.option_defaults()->always_capture_default();
  app.add_option("--seconds", options.seconds, "Length of each round");
  app.add_option("--rounds", options.rounds)->check(CLI::Range(1, 1'000));
  app.add_option("--in-flight", options.in_flight, "Commits in flight")
      ->check(CLI::Range(1, 1'000'000));
  app.add_option("--installs", options.installs)->check(CLI::Range(1, 10'000'000));
  app.add_flag("--fill", options.fills, "First commit once to each install");
  app.add_option("--directory", options.directory, "Directory on the disk to measure");
  CLI11_PARSE(app, argc, argv);
  credits::bench::run(options);
}
