// creditsctl check, backup and migrate: commands that work on a ledger directly, without the
// server.
#include <iostream>
#include <memory>

#include "persistence/migration/migrate.hpp"
#include "persistence/postgres/audit.hpp"
#include "persistence/postgres/store.hpp"
#include "persistence/sqlite/audit.hpp"
#include "persistence/sqlite/backup.hpp"
#include "tools/creditsctl/commands.hpp"
#include "tools/creditsctl/failure.hpp"
#include "tools/creditsctl/fresh_file.hpp"
#include "tools/creditsctl/json.hpp"
#include "tools/creditsctl/progress.hpp"
#include "tools/creditsctl/table.hpp"

namespace credits::creditsctl {

namespace {

namespace fs = std::filesystem;

// Throws Failure if it is an invalid PostgreSQL URI.
bool is_postgres(const std::string& ledger) {
  if (!persistence::is_postgres_uri(ledger)) return false;
  if (const auto fault = persistence::fault_of_postgres_uri(ledger)) {
    throw Failure{usage_error, *fault};
  }
  return true;
}

persistence::AuditReport audit(const std::string& ledger, bool show_progress) {
  Progress progress{"check", show_progress};
  const auto report = [&progress](std::uint64_t done, std::uint64_t total) {
    progress.show(done, total);
  };
  return is_postgres(ledger) ? persistence::audit_postgres(ledger, report)
                             : persistence::audit(ledger, report);
}

std::string in_json(const persistence::AuditReport& report) {
  return to_json([&report](Writer& out) {
    const auto count = [&out](const char* name, std::uint64_t value) {
      out.Key(name);
      out.Uint64(value);
    };
    out.StartObject();
    out.Key("ok");
    out.Bool(!report.fault);
    if (report.fault) {
      out.Key("install_id");
      out.String(harmless(report.fault->install_id).c_str());
      count("version", report.fault->version);
      out.Key("what");
      out.String(harmless(report.fault->what).c_str());
    } else {
      count("installs", report.installs);
      count("entries", report.entries);
      count("entries_unhashed", report.entries_unhashed);
      count("pruned_sequence", report.pruned_sequence);
      out.Key("has_snapshots");
      out.Bool(report.has_snapshots);
      out.Key("is_log_missing");
      out.Bool(report.is_log_missing);
    }
    out.EndObject();
  });
}

std::string in_words(const persistence::AuditReport& report) {
  std::string text = "ok: " + std::to_string(report.installs) + " installs, " +
                     std::to_string(report.entries) + " entries";
  if (report.entries_unhashed > 0) {
    text += ", of which " + std::to_string(report.entries_unhashed) + " predate entry hashes";
  }
  if (report.pruned_sequence > 0) text += "; older ones have been pruned";
  if (!report.has_snapshots) text += "; snapshots.db is missing, the next start creates it";
  if (report.is_log_missing) {
    text +=
        "; journal.db was in use, and its log, journal.db-wal, is missing: the newest entries may "
        "be missing too";
  }
  return text;
}

void print(const Options& options, const persistence::AuditReport& report,
           const std::string& before = {}) {
  if (options.json) std::cout << in_json(report) << '\n';
  if (report.fault) {
    throw Failure{failed, "install \"" + report.fault->install_id + "\", version " +
                              std::to_string(report.fault->version) + ": " + report.fault->what};
  }
  if (!options.json) std::cout << before << in_words(report) << '\n';
}

void migrate(const Options& options, const std::string& from, const std::string& to,
             bool show_progress) {
  if (is_postgres(from) == is_postgres(to)) {
    throw Failure{
        usage_error,
        "migrate copies from a data directory to PostgreSQL, or back: one of the two must "
        "be a directory, the other a URI like postgresql://USER@HOST/DATABASE"};
  }
  const auto copied = [&] {
    Progress progress{"migrate", show_progress};
    const auto report = [&progress](std::uint64_t done, std::uint64_t total) {
      progress.show(done, total);
    };
    return is_postgres(to) ? persistence::migrate_to_postgres(from, to, report)
                           : persistence::migrate_to_sqlite(from, to, report);
  }();
  print(options, copied, "copied; check of the copy: ");
}

struct BackupOptions {
  fs::path data_dir;
  fs::path file;
  bool force = false;
  bool show_progress = false;
};

void check_target(const BackupOptions& wanted) {
  const fs::path directory = wanted.file.parent_path();
  std::error_code ignored;
  if (fs::equivalent(wanted.data_dir, directory.empty() ? "." : directory, ignored)) {
    throw Failure{failed, wanted.file.string() +
                              " is in the ledger's directory; keep the backup elsewhere, best on "
                              "another disk"};
  }
  if (!wanted.force && fs::exists(wanted.file)) {
    throw Failure{failed, wanted.file.string() + " already exists; --force replaces it"};
  }
}

void backup(const Options& options, const BackupOptions& wanted) {
  check_target(wanted);
  FreshFile fresh{wanted.file};
  {
    Progress progress{"backup", wanted.show_progress};
    persistence::backup(
        wanted.data_dir, fresh.path(),
        [&progress](std::uint64_t done, std::uint64_t total) { progress.show(done, total); });
  }
  const std::uint64_t bytes = fs::file_size(fresh.path());
  fresh.put_in_place();
  if (!options.json) {
    std::cout << "backed up " << wanted.data_dir.string() << " to " << wanted.file.string() << ", "
              << bytes << " bytes\n";
    return;
  }
  std::cout << file_as_json(wanted.file.string(), bytes) << '\n';
}

}  // namespace

void add_check(CLI::App& app, const Options& options) {
  CLI::App* command = app.add_subcommand(
      "check", "Check a ledger: every row against its entries, and every entry's hash");
  const auto ledger = std::make_shared<std::string>();
  const auto show_progress = std::make_shared<bool>(false);
  command->add_option("LEDGER", *ledger, "Its data directory, or postgresql://…")
      ->required()
      ->type_name("");
  add_progress_flag(*command, *show_progress);
  command->footer(
      "Examples:\n  $ creditsctl check /var/lib/creditsd\n"
      "  $ creditsctl check postgresql://credits@db.example/credits");
  command->callback(
      [&options, ledger, show_progress] { print(options, audit(*ledger, *show_progress)); });
}

void add_migrate(CLI::App& app, const Options& options) {
  CLI::App* command = app.add_subcommand(
      "migrate",
      "Copy a ledger from its data directory to PostgreSQL, or back, and check the copy");
  const auto from = std::make_shared<std::string>();
  const auto to = std::make_shared<std::string>();
  const auto show_progress = std::make_shared<bool>(false);
  command->add_option("FROM", *from, "A data directory, or postgresql://…")
      ->required()
      ->type_name("");
  command->add_option("TO", *to, "The other of the two; must have no ledger")
      ->required()
      ->type_name("");
  add_progress_flag(*command, *show_progress);
  command->footer(
      "Stop creditsd, on all nodes, first. The quota is copied too.\n\n"
      "Example:\n  $ creditsctl migrate /var/lib/creditsd postgresql://credits@db.example/credits");
  command->callback(
      [&options, from, to, show_progress] { migrate(options, *from, *to, *show_progress); });
}

void add_backup(CLI::App& app, const Options& options) {
  CLI::App* command =
      app.add_subcommand("backup", "Copy the ledger as it is now to one file, while creditsd runs");
  const auto wanted = std::make_shared<BackupOptions>();
  command->add_option("DIR", wanted->data_dir, "The ledger's data directory")
      ->required()
      ->type_name("");
  command->add_option("FILE", wanted->file, "The backup file")->required()->type_name("");
  command->add_flag("--force", wanted->force, "Replace FILE if it exists");
  add_progress_flag(*command, wanted->show_progress);
  command->footer(
      "Examples:\n  $ creditsctl backup /var/lib/creditsd /backup/credits-monday.db\n\n"
      "To restore it, with the quota, which the backup does not contain:\n"
      "  $ mkdir -m 700 NEW && cp FILE NEW/journal.db && cp quota.json NEW/\n"
      "  $ creditsctl check NEW && creditsd --data-dir NEW");
  command->callback([&options, wanted] { backup(options, *wanted); });
}

}  // namespace credits::creditsctl
