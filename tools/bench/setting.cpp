#include "tools/bench/setting.hpp"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <iostream>
#include <stdexcept>
#include <utility>

#include "http/answer.hpp"
#include "http/codec/quota.hpp"
#include "persistence/sqlite_store.hpp"

namespace credits::bench {

namespace {

std::filesystem::path make_directory(const std::filesystem::path& parent) {
  std::string name = (parent / "credits-bench-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error{"cannot make " + name};
  return name;
}

}  // namespace

// Counts what the persister writes.
class Ledger::CountingStore : public persistence::Store {
 public:
  explicit CountingStore(std::unique_ptr<persistence::Store> store) : store_{std::move(store)} {}

  std::vector<std::optional<ledger::Row>> load(std::span<const std::string> ids) override {
    return store_->load(ids);
  }
  std::optional<std::vector<ledger::Name>> names(const std::string& install_id,
                                                 std::size_t limit) override {
    return store_->names(install_id, limit);
  }
  std::vector<std::optional<ledger::Entry>> recall(const std::string& install_id,
                                                   std::span<const ledger::Name> names) override {
    return store_->recall(install_id, names);
  }
  std::vector<persistence::Outcome> append(
      std::span<const persistence::Mutation> mutations) override {
    ++batches;
    return store_->append(mutations);
  }
  std::vector<ledger::Row> list(const persistence::ListQuery& query) override {
    return store_->list(query);
  }
  std::vector<ledger::Entry> entries(const std::string& install_id, std::uint64_t before_version,
                                     std::size_t limit) override {
    return store_->entries(install_id, before_version, limit);
  }
  std::unique_ptr<persistence::RowCursor> snapshot() override { return store_->snapshot(); }
  void checkpoint() override { store_->checkpoint(); }
  bool prune(const persistence::Horizon& horizon) override { return store_->prune(horizon); }
  std::uint64_t installs() override { return store_->installs(); }
  std::uint64_t pending_rows() override { return store_->pending_rows(); }
  std::string_view engine() const override { return store_->engine(); }

  std::atomic<std::uint64_t> batches{0};

 private:
  std::unique_ptr<persistence::Store> store_;
};

Ledger::Ledger(const std::filesystem::path& parent)
    : directory_{make_directory(parent)},
      store_{std::make_unique<CountingStore>(persistence::open_sqlite_store(directory_))},
      environment_{actors::system_time,
                   actors::random_mutation_id,
                   [](const std::string& text) { std::cerr << text << '\n'; },
                   http::record,
                   false,
                   actors::QuotaInForce{http::codec::default_quota()}} {
  running_.emplace(*store_, environment_, actors::Tuning{});
}

Ledger::~Ledger() {
  running_.reset();
  store_.reset();
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

std::uint64_t Ledger::batches() const { return store_->batches; }

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
