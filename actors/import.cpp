#include "actors/import.hpp"

#include <utility>

#include "actors/ledger/rules.hpp"

namespace credits::actors {

std::vector<persistence::Mutation> import_of(const std::vector<ledger::Row>& rows,
                                             const Environment& environment) {
  const ledger::Time now = environment.now();
  std::vector<persistence::Mutation> mutations;
  mutations.reserve(rows.size());
  for (const ledger::Row& row : rows) {
    ledger::Entry entry = ledger::import_entry(row, now);
    entry.mutation_id = environment.new_mutation_id();
    ledger::Row after = ledger::blank_row(row.install_id, now);
    ledger::apply(after, entry);
    mutations.push_back({std::move(after), {std::move(entry)}});
  }
  return mutations;
}

}  // namespace credits::actors
