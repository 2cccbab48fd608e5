// Checks the kind and the text of a store's errors.
#pragma once

#include <optional>
#include <string>

#include "persistence/store.hpp"
#include "tests/catch.hpp"

namespace credits::tests {

// Returns the kind of the StoreError that `work` throws, or nothing if it throws none.
template <class Work>
std::optional<persistence::StoreErrorKind> kind_thrown_by(Work work) {
  try {
    work();
  } catch (const persistence::StoreError& error) {
    return error.kind();
  }
  return std::nullopt;
}

// Returns the text of the StoreError that `work` throws, and checks its kind.
template <class Work>
std::string told_as(persistence::StoreErrorKind kind, Work work) {
  try {
    work();
  } catch (const persistence::StoreError& error) {
    CHECK(error.kind() == kind);
    return error.what();
  }
  return "nothing was thrown";
}

}  // namespace credits::tests
