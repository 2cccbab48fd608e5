#include "tools/bench/setting.hpp"

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <stdexcept>
#include <utility>

#include "actors/inline_executor.hpp"
#include "http/api/answer.hpp"
#include "http/codec/quota.hpp"

namespace credits::bench {

namespace {

constexpr std::size_t filled_at_once = 5'000;

std::filesystem::path make_directory(const std::filesystem::path& parent) {
  std::string name = (parent / "credits-bench-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error{"cannot create " + name};
  return name;
}

actors::Tuning tuning_for(std::size_t live_installs) {
  actors::Tuning tuning;
  tuning.live_installs_max = std::max(tuning.live_installs_max, live_installs);
  return tuning;
}

}  // namespace

Directory::Directory(const std::filesystem::path& parent) : path_{make_directory(parent)} {}

Directory::~Directory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

Ledger::Ledger(const std::filesystem::path& parent, std::size_t live_installs)
    : directory_{parent},
      store_{open_store("sqlite", directory_.path())},
      environment_{actors::system_time,
                   actors::random_mutation_id,
                   [](const actors::Event& event) { std::cerr << event.text << '\n'; },
                   http::record,
                   false,
                   actors::QuotaInForce{http::codec::default_quota()}} {
  running_.emplace(*store_, environment_, tuning_for(live_installs));
}

Ledger::~Ledger() {
  running_.reset();
  store_.reset();
}

void Ledger::fill(std::size_t installs) {
  for (std::size_t begin = 0; begin < installs; begin += filled_at_once) {
    const std::size_t count = std::min(filled_at_once, installs - begin);
    const auto completion = std::make_shared<actors::WaitingCompletion>();
    const auto answers = std::make_shared<actors::Answers>(count, completion);
    std::vector<actors::Request> requests;
    for (std::size_t place = 0; place < count; ++place) {
      requests.push_back(
          {{install_id_of(begin + place), actors::Commit{ledger::Backend::gemini, "max", 1}},
           answers,
           place});
    }
    gateway().run(std::move(requests));
    completion->answers().get();
  }
}

std::uint64_t Ledger::batches() const { return environment_.figures.batch_rows.ever().total(); }

std::string install_id_of(std::size_t number) {
  std::string digits = std::to_string(number);
  return "00000000-0000-4000-8000-" +
         std::string(12 - std::min<std::size_t>(12, digits.size()), '0') + digits;
}

double rate_of(double seconds, const std::function<std::size_t()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  const auto elapsed = [begin] {
    return std::chrono::duration<double>{std::chrono::steady_clock::now() - begin}.count();
  };
  std::size_t done = 0;
  while (elapsed() < seconds) done += work();
  return static_cast<double>(done) / elapsed();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace credits::bench
