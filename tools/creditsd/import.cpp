#include "tools/creditsd/import.hpp"

#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "actors/import.hpp"
#include "http/codec/ledger_file.hpp"
#include "persistence/files.hpp"

namespace credits::creditsd {

namespace {

constexpr std::uint64_t bytes_max = std::uint64_t{1} << 30U;  // as of POST /v1/import

std::vector<ledger::Row> read_rows(const std::filesystem::path& file, ledger::Time now) {
  try {
    return http::codec::decode_ledger_file(persistence::read_text_file(file, bytes_max), now)
        .value_or(std::vector<ledger::Row>{});
  } catch (const http::codec::LedgerFileError& error) {
    throw ImportError{"cannot import " + file.string() + ": " + error.what() +
                      " Nothing was imported and the file is as it was; mend it or move it away."};
  }
}

}  // namespace

std::optional<std::uint64_t> import_ledger_file(const std::filesystem::path& file,
                                                const actors::gateway_actor& gateway,
                                                const actors::Environment& environment) {
  auto promise = std::make_shared<std::promise<actors::Imported>>();
  auto imported = promise->get_future();
  caf::anon_send(
      gateway, actors::import_atom::value,
      actors::ImportRequest{actors::import_of(read_rows(file, environment.now()), environment),
                            std::move(promise)});
  const actors::Imported done = imported.get();
  return done.was_empty ? std::optional{done.installs} : std::nullopt;
}

}  // namespace credits::creditsd
