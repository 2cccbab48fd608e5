#include "persistence/audit.hpp"

#include <stdexcept>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "actors/ledger/rules.hpp"
#include "persistence/chain.hpp"
#include "persistence/journal.hpp"
#include "persistence/snapshots.hpp"
#include "persistence/sqlite_file.hpp"

namespace credits::persistence {

namespace {

std::string in_words(const ledger::Row& row) {
  std::string text = row.tier_snapshot + ", lifetime " + std::to_string(row.lifetime_consumed) +
                     " (" + std::to_string(row.lifetime_gemini_consumed) + " of Gemini), " +
                     ledger::format(row.month) + " " + std::to_string(row.monthly_consumed) + " (" +
                     std::to_string(row.monthly_gemini_consumed) + " of Gemini), last active " +
                     ledger::format(row.last_active_at) + ", version " +
                     std::to_string(row.version);
  for (const ledger::Reservation& reservation : row.reservations) {
    text += ", reservation " + reservation.id + " of " + std::to_string(reservation.credits);
  }
  return text;
}

class Audit {
 public:
  explicit Audit(const std::filesystem::path& data_dir)
      : rows_{data_dir / snapshots_file}, journal_{data_dir / journal_file} {
    // In this order: the journal is never behind the rows.
    progress_ = rows_.progress();
    journal_.stand_still();
    if (rows_.ledger_id() != journal_.ledger_id()) {
      throw StoreError{"the journal and the snapshots in " + data_dir.string() +
                       " belong to different ledgers"};
    }
  }

  AuditReport run() {
    report_.pruned_sequence = journal_.pruned_sequence();
    journal_.visit_baselines([this](StoredRow baseline) {
      const std::string id = baseline.row.install_id;
      computed_[id] = std::move(baseline);
    });
    journal_.visit_after(report_.pruned_sequence, [this](const JournalRecord& record) {
      if (record.sequence > progress_.sequence) compare_rows();
      if (!report_.fault) follow(record);
      return !report_.fault;
    });
    compare_rows();
    report_.installs = computed_.size();
    return std::move(report_);
  }

 private:
  void fault(const std::string& id, std::uint64_t version, std::string what) {
    if (!report_.fault) report_.fault = {id, version, std::move(what)};
  }

  void follow(const JournalRecord& record) {
    const auto [found, is_new] = computed_.try_emplace(record.install_id);
    StoredRow& before = found->second;
    if (is_new) before.row.install_id = record.install_id;
    const std::string what = fault_of(before, record);
    if (!what.empty()) return fault(record.install_id, record.entry.version, what);
    before.last_sequence = record.sequence;
    before.hash = record.hash;
    ++report_.entries;
    if (!record.hash) ++report_.entries_unhashed;
  }

  // Applies the entry; what is wrong with it, if anything.
  std::string fault_of(StoredRow& before, const JournalRecord& record) {
    if (record.previous_sequence != before.last_sequence) {
      return "the entry before it is missing, or one is there twice";
    }
    if (before.hash && !record.hash) return "the entry has no hash, but the one before it has";
    if (record.hash && *record.hash != hasher_(before.hash, record.install_id, record.entry)) {
      return "the entry's hash is not that of its content and the hash before it";
    }
    try {
      ledger::apply(before.row, record.entry);
      return {};
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
  }

  // Once, when the entries have come to where the rows are.
  void compare_rows() {
    if (std::exchange(compared_, true)) return;
    std::uint64_t rows = 0;
    while (const auto stored = rows_.next_stored()) {
      ++rows;
      compare(*stored);
      if (report_.fault) return;
    }
    if (rows == computed_.size()) return;
    for (const auto& [id, computed] : computed_) {
      if (computed.last_sequence > progress_.sequence) continue;  // pruned before it got a row
      if (!seen_.contains(id)) return fault(id, computed.row.version, "the row is missing");
    }
  }

  void compare(const StoredRow& stored) {
    const std::string& id = stored.row.install_id;
    const auto found = computed_.find(id);
    if (found == computed_.end()) {
      return fault(id, stored.row.version, "there is a row, but no entry");
    }
    const StoredRow& computed = found->second;
    seen_.insert(id);
    if (computed.last_sequence > progress_.sequence) return;  // a baseline that is newer
    if (stored.row != computed.row) {
      fault(id, stored.row.version,
            "the row is " + in_words(stored.row) + "; its entries make " + in_words(computed.row));
    } else if (stored.last_sequence != computed.last_sequence || stored.hash != computed.hash) {
      fault(id, stored.row.version, "the row's newest entry is not the journal's");
    }
  }

  SnapshotCursor rows_;
  JournalReader journal_;
  Progress progress_;
  Hasher hasher_;
  std::unordered_map<std::string, StoredRow> computed_;
  std::unordered_set<std::string> seen_;
  bool compared_ = false;
  AuditReport report_;
};

}  // namespace

AuditReport audit(const std::filesystem::path& data_dir) {
  for (const char* name : {journal_file, snapshots_file}) {
    if (std::filesystem::exists(data_dir / name)) continue;
    throw StoreError{data_dir.string() + " is not the data directory of a ledger: it has no " +
                     name};
  }
  expect_version(data_dir / journal_file, sql::journal_schema);
  expect_version(data_dir / snapshots_file, sql::snapshots_schema);
  try {
    return Audit{data_dir}.run();
  } catch (const SQLite::Exception& error) {
    throw StoreError{"cannot read the ledger in " + data_dir.string() + ": " + error.what()};
  }
}

}  // namespace credits::persistence
