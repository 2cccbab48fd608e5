// Turns the rows of another ledger into the first mutations of this one.
#pragma once

#include <vector>

#include "actors/environment.hpp"
#include "persistence/store.hpp"

namespace credits::actors {

// One mutation for each row, with one `import` entry.
std::vector<persistence::Mutation> import_of(const std::vector<ledger::Row>& rows,
                                             const Environment& environment);

}  // namespace credits::actors
