#include "tools/creditsd/import.hpp"

#include <chrono>
#include <cstdlib>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "actors/base/files.hpp"
#include "actors/import.hpp"
#include "http/codec/ledger_file.hpp"
#include "tools/creditsd/log.hpp"
#include "tools/creditsd/manager.hpp"

namespace credits::creditsd {

namespace {

constexpr std::chrono::minutes import_max{10};                // as for POST /v1/import
constexpr std::uint64_t bytes_max = std::uint64_t{1} << 30U;  // as for POST /v1/import

std::vector<ledger::Row> read_rows(const std::filesystem::path& file, ledger::Time now) {
  try {
    return http::codec::decode_ledger_file(base::read_text_file(file, bytes_max), now)
        .value_or(std::vector<ledger::Row>{});
  } catch (const http::codec::LedgerFileError& error) {
    throw ImportError{"cannot import " + file.string() + ": " + error.what() +
                      " Nothing was imported and the file is unchanged; mend it or move it away."};
  }
}

// Does `work`, and asks for more time each second until it is done. Ends the program if it takes
// too long, as on a hanging disk: the store then has all of the import or nothing.
template <class Work>
auto while_manager_waits(const std::string& status, const Work& work) {
  const auto begun = std::chrono::steady_clock::now();
  auto done = std::async(std::launch::async, work);
  while (done.wait_for(std::chrono::seconds{1}) != std::future_status::ready) {
    const auto waited = std::chrono::steady_clock::now() - begun;
    if (waited > import_max) {
      log_start_error(status + " takes more than " + std::to_string(import_max.count()) +
                      " minutes; either everything or nothing was imported: check the disk or "
                      "database, and start again");
      flush_log_and_exit(EXIT_FAILURE);
    }
    ask_manager_for_time(
        status + ": " +
        std::to_string(std::chrono::duration_cast<std::chrono::seconds>(waited).count()) + " s");
  }
  return done.get();
}

}  // namespace

std::optional<std::uint64_t> import_ledger_file(const std::filesystem::path& file,
                                                const actors::Gateway& gateway,
                                                const actors::Environment& environment) {
  return while_manager_waits("importing " + file.string(), [&] {
    auto promise = std::make_shared<std::promise<actors::Imported>>();
    auto imported = promise->get_future();
    gateway.import(actors::ImportRequest{
        actors::import_of(read_rows(file, environment.now()), environment), std::move(promise)});
    const actors::Imported done = imported.get();
    return done.was_empty ? std::optional{done.installs} : std::nullopt;
  });
}

}  // namespace credits::creditsd
