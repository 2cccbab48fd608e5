// Brings the file of the old JSON ledger into a ledger that is still empty.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <stdexcept>

#include "actors/environment.hpp"
#include "actors/gateway.hpp"

namespace credits::creditsd {

// The text names the file and the place of the fault.
class ImportError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Imports `file`, whole or not at all, and leaves it as it is. Returns the number of installs;
// nothing if the ledger has some already, and is left alone. Throws ImportError: nothing was
// imported; or StoreError: all was, or nothing. The service manager is asked for time each second;
// what takes longer than 10 minutes ends the program with status 1.
std::optional<std::uint64_t> import_ledger_file(const std::filesystem::path& file,
                                                const actors::Gateway& gateway,
                                                const actors::Environment& environment);

}  // namespace credits::creditsd
