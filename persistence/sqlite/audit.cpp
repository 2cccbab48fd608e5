#include "persistence/sqlite/audit.hpp"

#include <algorithm>
#include <initializer_list>
#include <memory>
#include <stdexcept>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "actors/ledger/rules.hpp"
#include "persistence/audited_chain.hpp"
#include "persistence/sqlite/file.hpp"
#include "persistence/sqlite/journal.hpp"
#include "persistence/sqlite/log.hpp"
#include "persistence/sqlite/snapshots.hpp"

namespace credits::persistence {

namespace {

constexpr std::uint64_t entries_between_reports = 1'000;

class Audit {
 public:
  Audit(const std::filesystem::path& data_dir, bool is_log_missing,
        const ReportAudited& report_audited)
      : rows_{open_rows(data_dir)},
        journal_{data_dir / journal_file},
        report_audited_{report_audited} {
    // In this order: the journal is never behind the rows.
    if (rows_) progress_ = rows_->progress();
    journal_.begin_snapshot();
    if (rows_ && rows_->ledger_id() != journal_.ledger_id()) {
      throw StoreError{
          StoreErrorKind::refused,
          "the journal and the snapshots in " + data_dir.string() + " belong to different ledgers"};
    }
    SQLite::Database journal = open_reader(data_dir / journal_file);
    last_sequence_ =
        static_cast<std::uint64_t>(journal.execAndGet(sql::select_last_sequence).getInt64());
    if (is_log_missing) expect_entries_without_log(data_dir / journal_file, last_sequence_);
    report_.is_log_missing = is_log_missing;
    report_.has_snapshots = rows_ != nullptr;
  }

  AuditReport run() {
    report_.pruned_sequence = journal_.pruned_sequence();
    journal_.visit_baselines([this](StoredRow baseline) {
      const std::string id = baseline.row.install_id;
      computed_[id] = std::move(baseline);
    });
    expected_sequence_ = report_.pruned_sequence + 1;
    counted_after_ = std::max(progress_.forgotten_sequence, report_.pruned_sequence);
    // Before that sequence, pruning has left entries that a name finds, that are dated ahead or
    // damaged, and those that follow them.
    journal_.visit_after(0, [this](const JournalRecord& record) {
      if (record.sequence > progress_.sequence) compare_rows();
      if (!report_.fault) follow(record);
      show_progress(false);
      return !report_.fault;
    });
    compare_rows();
    for (const auto& [sequence, led] : led_to_) not_found(led.front());
    compare_replay_keys();
    compare_ends();
    if (!report_.fault) show_progress(true);
    if (missing_) fault(missing_->install_id, missing_->version, missing_->what);
    report_.installs = computed_.size();
    return std::move(report_);
  }

 private:
  static std::unique_ptr<SnapshotCursor> open_rows(const std::filesystem::path& data_dir) {
    const auto path = data_dir / snapshots_file;
    return std::filesystem::exists(path) ? std::make_unique<SnapshotCursor>(path) : nullptr;
  }

  void show_progress(bool is_at_end) const {
    if (!report_audited_ || (!is_at_end && report_.entries % entries_between_reports != 0)) return;
    // The journal may have grown since its end was read.
    const auto total = last_sequence_ - report_.pruned_sequence;
    report_audited_(report_.entries, std::max(total, report_.entries));
  }

  // An entry's name that leads to a newer entry.
  struct LedTo {
    std::string install_id;
    std::uint64_t version = 0;
    ledger::ReplayKey key;
  };

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
    ++report_.entries;
    if (!record.hash) ++report_.entries_unhashed;
    follow_sequence(record);
    follow_replay_keys(record);
  }

  // Sequence numbers have no gap either. Reported last, as other faults of the same gap say more.
  void follow_sequence(const JournalRecord& record) {
    if (record.sequence <= report_.pruned_sequence) return;
    if (record.sequence != expected_sequence_ && !missing_) {
      missing_ = {record.install_id, record.entry.version,
                  "the entry is number " + std::to_string(record.sequence) +
                      " of the journal, but the one before it number " +
                      std::to_string(expected_sequence_ - 1)};
    }
    expected_sequence_ = record.sequence + 1;
  }

  // A name that is not forgotten finds its entry, or a newer one with the same name. Entries of
  // schema version 1 have no names.
  void follow_replay_keys(const JournalRecord& record) {
    if (!rows_ || !record.hash || record.sequence <= progress_.forgotten_sequence ||
        record.sequence > progress_.sequence) {
      return;
    }
    const auto replay_keys = ledger::replay_keys_of(record.entry);
    if (const auto led = led_to_.extract(record.sequence)) {
      for (const LedTo& by : led.mapped()) {
        const bool has =
            by.install_id == record.install_id &&
            std::find(replay_keys.begin(), replay_keys.end(), by.key) != replay_keys.end();
        if (!has) not_found(by);
      }
    }
    for (const ledger::ReplayKey& key : replay_keys) {
      const LedTo by{record.install_id, record.entry.version, key};
      const auto found = rows_->find(record.install_id, key);
      if (!found || *found < record.sequence) {
        not_found(by);
      } else if (*found > record.sequence) {
        led_to_[*found].push_back(by);
      } else if (record.sequence > counted_after_) {
        ++replay_keys_found_;
      }
    }
  }

  // The newest entry of each name has counted it, so the file must have no other names.
  void compare_replay_keys() {
    if (!rows_ || report_.fault) return;
    const std::uint64_t replay_keys = rows_->replay_keys_after(counted_after_);
    if (replay_keys == replay_keys_found_) return;
    throw StoreError{StoreErrorKind::refused, std::string{snapshots_file} + " has " +
                                                  std::to_string(replay_keys) +
                                                  " names of entries; the entries have " +
                                                  std::to_string(replay_keys_found_)};
  }

  // Reported last, as any other fault says more.
  void compare_ends() const {
    if (report_.fault || progress_.sequence <= last_sequence_) return;
    throw StoreError{StoreErrorKind::refused, std::string{journal_file} + " ends at entry " +
                                                  std::to_string(last_sequence_) + ", but " +
                                                  snapshots_file + " has seen entry " +
                                                  std::to_string(progress_.sequence) +
                                                  "; restore both from a backup"};
  }

  void not_found(const LedTo& by) {
    fault(by.install_id, by.version, "the entry is not found by its " + in_words(by.key));
  }

  // Applies the entry. Returns its fault; empty if it has none.
  std::string fault_of(StoredRow& before, const JournalRecord& record) {
    if (record.previous_sequence != before.last_sequence) {
      return "the entry before it is missing, or one is there twice";
    }
    return chain_.follow(before.row, before.hash, record.entry, record.hash);
  }

  // Called once, when the entries have reached the sequence number of the rows.
  void compare_rows() {
    if (std::exchange(compared_, true) || !rows_) return;
    std::uint64_t rows = 0;
    while (const auto stored = rows_->next_stored()) {
      ++rows;
      compare(*stored);
      if (report_.fault) return;
    }
    if (rows != computed_.size()) find_missing_row();
    if (!report_.fault && rows != progress_.installs) {
      throw StoreError{StoreErrorKind::refused, std::string{snapshots_file} + " counts " +
                                                    std::to_string(progress_.installs) +
                                                    " installs, but has " + std::to_string(rows) +
                                                    " rows; restore the ledger from a backup"};
    }
  }

  void find_missing_row() {
    for (const auto& [id, computed] : computed_) {
      if (computed.last_sequence > progress_.sequence)
        continue;  // pruned before the file had its row
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
    if (computed.last_sequence > progress_.sequence) return;  // a newer baseline
    if (!agrees(stored.row, computed.row)) {
      fault(id, stored.row.version, difference_between(stored.row, computed.row));
    } else if (stored.last_sequence != computed.last_sequence || stored.hash != computed.hash) {
      fault(id, stored.row.version, "the row's newest entry is not the journal's");
    }
  }

  const std::unique_ptr<SnapshotCursor> rows_;  // null: there are no snapshots
  JournalReader journal_;
  const ReportAudited& report_audited_;
  Progress progress_{};
  std::uint64_t last_sequence_ = 0;
  std::uint64_t expected_sequence_ = 0;
  std::optional<AuditFault> missing_;
  std::unordered_map<std::uint64_t, std::vector<LedTo>> led_to_;  // by sequence number
  std::uint64_t replay_keys_found_ = 0;
  std::uint64_t counted_after_ = 0;  // entries that pruning has passed may still have names
  AuditedChain chain_;
  std::unordered_map<std::string, StoredRow> computed_;
  std::unordered_set<std::string> seen_;
  bool compared_ = false;
  AuditReport report_;
};

// The first entry or row with a value that is not of its column's type.
std::optional<AuditFault> find_mistyped(const std::filesystem::path& path,
                                        std::initializer_list<std::string> statements) {
  SQLite::Database database = open_reader(path);
  for (const std::string& statement : statements) {
    SQLite::Statement select{database, statement};
    if (!select.executeStep()) continue;
    return AuditFault{select.getColumn(0).getString(),
                      static_cast<std::uint64_t>(select.getColumn(1).getInt64()),
                      "a value in " + path.string() + " is not of its column's type"};
  }
  return std::nullopt;
}

// Lets SQLite check its own structures: pages, and the order of their contents.
void check_pages(const std::filesystem::path& path) {
  SQLite::Database database = open_reader(path);
  const std::string found = database.execAndGet("PRAGMA quick_check(1)").getString();
  if (found != "ok")
    throw StoreError{StoreErrorKind::refused, path.string() + " is damaged: " + found};
}

}  // namespace

AuditReport audit(const std::filesystem::path& data_dir, const ReportAudited& report) {
  const auto journal = data_dir / journal_file;
  const auto snapshots = data_dir / snapshots_file;
  if (!std::filesystem::exists(journal)) {
    throw StoreError{
        StoreErrorKind::refused,
        data_dir.string() + " is not the data directory of a ledger: it has no " + journal_file};
  }
  expect_own_files(data_dir);
  const bool log_is_missing = is_log_missing(journal);
  expect_version(journal, sql::journal_schema);
  if (std::filesystem::exists(snapshots)) expect_version(snapshots, sql::snapshots_schema);
  try {
    AuditReport result = Audit{data_dir, log_is_missing, report}.run();
    if (result.fault) return result;
    check_pages(journal);
    result.fault =
        find_mistyped(journal, {sql::select_mistyped_entries, sql::select_mistyped_imports,
                                sql::select_mistyped("baselines")});
    if (result.fault || !result.has_snapshots) return result;
    check_pages(snapshots);
    result.fault = find_mistyped(snapshots, {sql::select_mistyped("rows")});
    return result;
  } catch (const SQLite::Exception& error) {
    throw StoreError{kind_of(error),
                     "cannot read the ledger in " + data_dir.string() + ": " + error.what()};
  }
}

}  // namespace credits::persistence
