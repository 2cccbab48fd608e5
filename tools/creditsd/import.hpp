// Imports the old JSON ledger's file into an empty ledger.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <stdexcept>

#include "actors/environment.hpp"
#include "actors/gateway.hpp"

namespace credits::creditsd {

// The text names the file and the position of the fault.
class ImportError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Imports all of `file` or nothing, and leaves the file unchanged. Returns the number of installs;
// nullopt, without an import, if the ledger already has installs. Throws ImportError if nothing was
// imported, StoreError if all or nothing was. Asks the service manager for more time each second;
// an import of more than 10 minutes ends the program with status 1.
std::optional<std::uint64_t> import_ledger_file(const std::filesystem::path& file,
                                                const actors::Gateway& gateway,
                                                const actors::Environment& environment);

}  // namespace credits::creditsd
