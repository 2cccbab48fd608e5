#include "tools/creditsd/import.hpp"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "actors/ledger/rules.hpp"
#include "http/codec/ledger_file.hpp"
#include "persistence/files.hpp"

namespace credits::creditsd {

namespace {

std::vector<ledger::Row> read_rows(const std::filesystem::path& file, ledger::Time now) {
  try {
    return http::codec::decode_ledger_file(persistence::read_file(file), now);
  } catch (const http::codec::LedgerFileError& error) {
    throw ImportError{"cannot import " + file.string() + ": " + error.what() +
                      " Nothing was imported and the file is as it was; mend it or move it away."};
  }
}

persistence::Mutation import_of(const ledger::Row& row, ledger::Time now,
                                const ledger::MutationId& mutation_id) {
  ledger::Entry entry = ledger::import_entry(row, now);
  entry.mutation_id = mutation_id;
  ledger::Row after = ledger::blank_row(row.install_id, now);
  ledger::apply(after, entry);
  return {std::move(after), {std::move(entry)}};
}

}  // namespace

std::size_t import_ledger_file(const std::filesystem::path& file, persistence::Store& store,
                               ledger::Time now,
                               const std::function<ledger::MutationId()>& new_mutation_id) {
  const std::vector<ledger::Row> rows = read_rows(file, now);
  std::vector<persistence::Mutation> mutations;
  mutations.reserve(rows.size());
  for (const ledger::Row& row : rows) {
    mutations.push_back(import_of(row, now, new_mutation_id()));
  }
  if (mutations.empty()) return 0;
  const auto outcomes = store.append(mutations);
  if (std::count(outcomes.begin(), outcomes.end(), persistence::Outcome::conflict) > 0) {
    throw ImportError{"cannot import " + file.string() + ": the ledger is not empty"};
  }
  store.checkpoint();
  return rows.size();
}

}  // namespace credits::creditsd
