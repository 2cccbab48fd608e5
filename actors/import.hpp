// The rows of another ledger as the first mutations of this one.
#pragma once

#include <vector>

#include "actors/environment.hpp"
#include "persistence/store.hpp"

namespace credits::actors {

// Each with an `import` entry.
std::vector<persistence::Mutation> import_of(const std::vector<ledger::Row>& rows,
                                             const Environment& environment);

}  // namespace credits::actors
