#include "tools/creditsd/import.hpp"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "actors/import.hpp"
#include "http/codec/ledger_file.hpp"
#include "persistence/files.hpp"

namespace credits::creditsd {

namespace {

std::vector<ledger::Row> read_rows(const std::filesystem::path& file, ledger::Time now) {
  try {
    return http::codec::decode_ledger_file(persistence::read_file(file), now)
        .value_or(std::vector<ledger::Row>{});
  } catch (const http::codec::LedgerFileError& error) {
    throw ImportError{"cannot import " + file.string() + ": " + error.what() +
                      " Nothing was imported and the file is as it was; mend it or move it away."};
  }
}

}  // namespace

std::size_t import_ledger_file(const std::filesystem::path& file, persistence::Store& store,
                               const actors::Environment& environment) {
  const auto mutations = actors::import_of(read_rows(file, environment.now()), environment);
  if (mutations.empty()) return 0;
  const auto outcomes = store.append(mutations);
  if (std::count(outcomes.begin(), outcomes.end(), persistence::Outcome::conflict) > 0) {
    throw ImportError{"cannot import " + file.string() + ": the ledger is not empty"};
  }
  store.checkpoint();
  return mutations.size();
}

}  // namespace credits::creditsd
