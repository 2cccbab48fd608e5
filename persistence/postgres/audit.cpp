#include "persistence/postgres/audit.hpp"

#include <chrono>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "persistence/audited_chain.hpp"
#include "persistence/postgres/columns.hpp"
#include "persistence/postgres/schema.hpp"
#include "persistence/postgres/sql.hpp"

namespace credits::persistence {

namespace {

using postgres::ChainedEntry;
using postgres::ChainedRow;
using postgres::Connection;
using postgres::Result;

constexpr std::uint64_t entries_between_reports = 1'000;

// A name, and the version of the entry that it finds.
struct Found {
  ledger::ReplayKey key;
  std::uint64_t version = 0;
};

// Reads the names of all installs, in the order of their ids.
class ReplayKeyCursor {
 public:
  explicit ReplayKeyCursor(Connection& connection) : connection_{connection} {
    connection_.run_script(postgres::sql::select_all_names);
  }

  // The names of `install_id`. Calls `stray` with the install of each name that precedes it.
  template <class Stray>
  std::vector<Found> of(const std::string& install_id, const Stray& stray) {
    std::vector<Found> found;
    for (; advance() && id() <= install_id; ++at_) {
      id() < install_id ? stray(id()) : found.push_back(current());
    }
    return found;
  }

  template <class Stray>
  void finish(const Stray& stray) {
    for (; advance(); ++at_) stray(id());
  }

 private:
  bool advance() {
    if (part_ && at_ < part_->rows()) return true;
    part_ = connection_.run(postgres::sql::fetch_names);
    at_ = 0;
    return part_->rows() > 0;
  }
  std::string id() const { return part_->text(at_, 0); }
  Found current() const {
    return {{static_cast<ledger::ReplayKey::Kind>(part_->integer(at_, 1)), part_->text(at_, 2)},
            static_cast<std::uint64_t>(part_->integer(at_, 3))};
  }

  Connection& connection_;
  std::optional<Result> part_;
  int at_ = 0;
};

class PostgresAudit {
 public:
  PostgresAudit(const std::string& uri, const ReportAudited& report_audited)
      : connection_{uri}, report_audited_{report_audited} {
    postgres::expect_schema(connection_);
    connection_.run_script(postgres::sql::begin_snapshot);
    total_ =
        static_cast<std::uint64_t>(connection_.run(postgres::sql::count_entries).integer(0, 0));
    replay_keys_.emplace(connection_);
    report_.has_snapshots = true;
  }

  AuditReport run() {
    read_baselines();
    follow_entries();
    if (!report_.fault)
      replay_keys_->finish([this](const std::string& id) { stray_replay_key(id); });
    if (!report_.fault) compare_rows();
    report_.installs = computed_.size();
    return std::move(report_);
  }

 private:
  void fault(const std::string& id, std::uint64_t version, std::string what) {
    if (!report_.fault) report_.fault = {id, version, std::move(what)};
  }

  void read_baselines() {
    const Result result = connection_.run(postgres::sql::select_all_baselines);
    for (int at = 0; at < result.rows(); ++at) {
      ChainedRow baseline = postgres::read_row(result, at);
      computed_[baseline.row.install_id] = std::move(baseline);
    }
  }

  void follow_entries() {
    connection_.run_script(postgres::sql::select_entries_by_install);
    while (!report_.fault) {
      const Result part = connection_.run(postgres::sql::fetch_entries);
      if (part.rows() == 0) break;
      for (int at = 0; at < part.rows() && !report_.fault; ++at) {
        follow(postgres::read_entry(part, at));
      }
    }
    if (!report_.fault) finish_install();
    if (report_audited_ && !report_.fault) report_audited_(total_, total_);
  }

  void follow(const ChainedEntry& stored) {
    if (stored.install_id != current_) {
      finish_install();
      current_ = stored.install_id;
    }
    ChainedRow& before = computed_[current_];
    before.row.install_id = current_;
    const std::string what = chain_.follow(before.row, before.hash, stored.entry, stored.hash);
    if (!what.empty()) return fault(current_, stored.entry.version, what);
    for (ledger::ReplayKey& key : ledger::replay_keys_of(stored.entry)) {
      newest_[std::move(key)] = {stored.entry.version, stored.entry.at};
    }
    ++report_.entries;
    if (!stored.hash) ++report_.entries_unhashed;
    if (report_audited_ && report_.entries % entries_between_reports == 0) {
      report_audited_(report_.entries, total_);
    }
  }

  // Checks the names of the current install, after its entries.
  void finish_install() {
    if (current_.empty()) return;
    for (const Found& found :
         replay_keys_->of(current_, [this](const auto& id) { stray_replay_key(id); })) {
      const auto newest = newest_.find(found.key);
      if (newest == newest_.end() || newest->second.version != found.version) {
        return fault(current_, found.version,
                     in_words(found.key) + " leads to an entry that is not its newest");
      }
      newest_.erase(newest);
    }
    const auto remembered_since =
        std::chrono::system_clock::now() - ledger::replay_keys_remembered_for;
    for (const auto& [key, entry] : newest_) {
      if (entry.at < remembered_since) continue;  // forgotten
      return fault(current_, entry.version, "the entry is not found by its " + in_words(key));
    }
    newest_.clear();
  }

  void stray_replay_key(const std::string& id) {
    fault(id, 0, "a name leads to an entry that is missing");
  }

  void compare_rows() {
    connection_.run_script(postgres::sql::select_all_rows);
    std::uint64_t rows = 0;
    while (!report_.fault) {
      const Result part = connection_.run(postgres::sql::fetch_rows);
      if (part.rows() == 0) break;
      for (int at = 0; at < part.rows(); ++at, ++rows) compare(postgres::read_row(part, at));
    }
    if (report_.fault || rows == computed_.size()) return;
    for (const auto& [id, computed] : computed_) {
      if (!seen_.contains(id)) return fault(id, computed.row.version, "the row is missing");
    }
  }

  void compare(const ChainedRow& stored) {
    const std::string& id = stored.row.install_id;
    seen_.insert(id);
    const auto found = computed_.find(id);
    if (found == computed_.end()) {
      fault(id, stored.row.version, "there is a row, but no entry");
    } else if (!agrees(stored.row, found->second.row)) {
      fault(id, stored.row.version, difference_between(stored.row, found->second.row));
    } else if (stored.hash != found->second.hash) {
      fault(id, stored.row.version, "the row's hash is not that of its newest entry");
    }
  }

  struct Newest {
    std::uint64_t version = 0;
    ledger::Time at{};
  };

  Connection connection_;
  const ReportAudited& report_audited_;
  std::uint64_t total_ = 0;
  std::optional<ReplayKeyCursor> replay_keys_;
  AuditedChain chain_;
  std::unordered_map<std::string, ChainedRow> computed_;
  std::unordered_set<std::string> seen_;
  std::string current_;  // the install whose entries are being followed
  std::unordered_map<ledger::ReplayKey, Newest, ledger::ReplayKeyHash> newest_;  // of that install
  AuditReport report_;
};

}  // namespace

AuditReport audit_postgres(const std::string& uri, const ReportAudited& report) {
  return PostgresAudit{uri, report}.run();
}

}  // namespace credits::persistence
