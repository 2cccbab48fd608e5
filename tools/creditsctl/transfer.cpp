// creditsctl export and import: the whole ledger in the format of the JSON ledger.
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iostream>
#include <memory>
#include <optional>

#include "tools/creditsctl/client.hpp"
#include "tools/creditsctl/commands.hpp"
#include "tools/creditsctl/failure.hpp"
#include "tools/creditsctl/fresh_file.hpp"
#include "tools/creditsctl/json.hpp"
#include "tools/creditsctl/progress.hpp"
#include "tools/creditsctl/table.hpp"

namespace credits::creditsctl {

namespace {

constexpr std::size_t piece_bytes_max = 256 * 1024;
constexpr std::uint64_t import_bytes_max = std::uint64_t{1} << 30U;
constexpr const char* import_target = "/v1/import";
constexpr const char* snapshot_target = "/v1/snapshot";

// Looks at a ledger's text as it comes: whether it begins and ends as one, so that no other
// server's page, and no half of a ledger, is taken for it.
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
                  "what the server sent is no whole ledger; does --url lead to a creditsd?"};
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
    if (!(std::cout << piece)) throw Failure{failed, "standard output cannot be written to"};
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

// Gives a file's content in pieces.
class Source {
 public:
  explicit Source(const std::string& path) : path_{path} {
    if (!std::filesystem::is_regular_file(path)) fail("it is not a file");
    file_.open(path, std::ios::binary);
    if (!file_) fail(std::strerror(errno));
    size_ = std::filesystem::file_size(path);
    if (size_ > import_bytes_max) fail("it has more than 1 GiB, which no import takes");
  }

  std::uint64_t size() const { return size_; }

  std::string_view read_at(std::uint64_t offset) {
    buffer_.resize(std::min<std::uint64_t>(piece_bytes_max, size_ - offset));
    file_.seekg(static_cast<std::streamoff>(offset));
    if (!file_.read(buffer_.data(), static_cast<std::streamsize>(buffer_.size()))) {
      fail("it cannot be read to its end");
    }
    return buffer_;
  }

 private:
  [[noreturn]] void fail(const std::string& why) const {
    throw Failure{failed, path_ + ": " + why};
  }

  const std::string path_;
  std::ifstream file_;
  std::uint64_t size_ = 0;
  std::string buffer_;
};

std::string upload(Client& client, Source& source, Progress& progress) {
  return client.upload(import_target, source.size(), [&](std::uint64_t offset) {
    const std::string_view piece = source.read_at(offset);
    progress.show(offset + piece.size(), source.size());
    return piece;
  });
}

// An import of nothing comes first: a server that would refuse any import ends the connection under
// a large one, and what it said would be lost.
void import_ledger(const Options& options, const std::string& file, bool show_progress) {
  Source source{file};
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
  command->add_option("FILE", *file, "Where to; - is standard output")->required()->type_name("");
  command->footer(
      "Examples:\n  $ creditsctl export credits.json\n  $ creditsctl export - | gzip > c.gz");
  command->callback([&options, file] { export_ledger(options, *file); });
}

void add_import(CLI::App& app, const Options& options) {
  CLI::App* command = app.add_subcommand(
      "import", "Import a JSON ledger into an empty ledger: all of it, or nothing");
  const auto file = std::make_shared<std::string>();
  const auto show_progress = std::make_shared<bool>(false);
  command->add_option("FILE", *file, "The JSON ledger, of 1 GiB at most")
      ->required()
      ->type_name("");
  add_progress_flag(*command, *show_progress);
  command->footer("Example:\n  $ creditsctl import credits.json");
  command->callback(
      [&options, file, show_progress] { import_ledger(options, *file, *show_progress); });
}

}  // namespace credits::creditsctl
