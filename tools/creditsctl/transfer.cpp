// creditsctl export and import: the whole ledger in the format of the JSON ledger.
#include <iostream>
#include <memory>
#include <optional>

#include "tools/creditsctl/client.hpp"
#include "tools/creditsctl/commands.hpp"
#include "tools/creditsctl/failure.hpp"
#include "tools/creditsctl/fresh_file.hpp"
#include "tools/creditsctl/json.hpp"
#include "tools/creditsctl/progress.hpp"
#include "tools/creditsctl/source.hpp"
#include "tools/creditsctl/table.hpp"

namespace credits::creditsctl {

namespace {

constexpr std::uint64_t import_bytes_max = std::uint64_t{1} << 30U;
constexpr const char* import_target = "/v1/import";
constexpr const char* snapshot_target = "/v1/snapshot";

// Checks that an incoming text begins and ends like a ledger, so that another server's page or a
// truncated ledger is not mistaken for one.
class LedgerText {
 public:
  void see(std::string_view piece) {
    if (begin_.size() < begin_expected.size()) {
      begin_ += piece.substr(0, begin_expected.size() - begin_.size());
    }
    end_ += piece.substr(piece.size() - std::min(piece.size(), end_expected.size()));
    end_.erase(0, end_.size() - std::min(end_.size(), end_expected.size()));
  }

  void expect_whole() const {
    if (begin_ == begin_expected && end_ == end_expected) return;
    throw Failure{failed,
                  "the server did not send a complete ledger; does --url lead to a creditsd?"};
  }

 private:
  static constexpr std::string_view begin_expected = R"({"rows":{)";
  static constexpr std::string_view end_expected = "}}";

  std::string begin_;
  std::string end_;
};

void export_to_output(Client& client) {
  LedgerText text;
  client.download(snapshot_target, [&text](std::string_view piece) {
    text.see(piece);
    if (!(std::cout << piece)) throw Failure{failed, "cannot write to standard output"};
  });
  text.expect_whole();
}

void export_ledger(const Options& options, const std::string& file) {
  Client client{options};
  if (file == "-") return export_to_output(client);
  FreshFile fresh{file};
  LedgerText text;
  std::uint64_t bytes = 0;
  client.download(snapshot_target, [&](std::string_view piece) {
    text.see(piece);
    fresh.write(piece);
    bytes += piece.size();
  });
  text.expect_whole();
  fresh.put_in_place();
  if (!options.json) {
    std::cout << "exported " << bytes << " bytes to " << file << '\n';
    return;
  }
  std::cout << file_as_json(file, bytes) << '\n';
}

std::string upload(Client& client, Source& source, Progress& progress) {
  return client.upload(import_target, [&] {
    const std::string_view piece = source.read();
    if (source.size()) progress.show(source.bytes_read(), *source.size());
    return piece;
  });
}

// Imports nothing first: a server that refuses imports would close the connection during a large
// one, and its reason would be lost.
void import_ledger(const Options& options, const std::string& file, bool show_progress) {
  Source source{file, import_bytes_max};
  Client client{options};
  client.post(import_target, R"({"rows":{}})");
  std::string answer;
  {
    Progress progress{"import", show_progress};
    answer = upload(client, source, progress);
  }
  const auto imported = in_words(member(parse_object(answer), "imported"));
  std::cout << (options.json ? answer : "imported " + imported + " installs from " + file) << '\n';
}

}  // namespace

void add_export(CLI::App& app, const Options& options) {
  CLI::App* command =
      app.add_subcommand("export", "Write all rows to a file, in the format of the JSON ledger");
  const auto file = std::make_shared<std::string>();
  command->add_option("FILE", *file, "The file to write; - is standard output")
      ->required()
      ->type_name("");
  command->footer(
      "Examples:\n  $ creditsctl export credits.json\n  $ creditsctl export - | gzip > c.gz");
  command->callback([&options, file] { export_ledger(options, *file); });
}

void add_import(CLI::App& app, const Options& options) {
  CLI::App* command =
      app.add_subcommand("import", "Import a JSON ledger into an empty ledger: all or nothing");
  const auto file = std::make_shared<std::string>();
  const auto show_progress = std::make_shared<bool>(false);
  command->add_option("FILE", *file, "The JSON ledger, at most 1 GiB; - is standard input")
      ->required()
      ->type_name("");
  add_progress_flag(*command, *show_progress);
  command->footer(
      "Examples:\n  $ creditsctl import credits.json\n  $ zcat c.gz | creditsctl import -");
  command->callback(
      [&options, file, show_progress] { import_ledger(options, *file, *show_progress); });
}

}  // namespace credits::creditsctl
