// Opens the ledger, however long that takes: waits for a database that is not there yet, and tells
// the log and the service manager how far a replay of the journal has come.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "persistence/store.hpp"

namespace credits::creditsd {

// Errors: open_store(), but for StoreUnreachableError.
std::unique_ptr<persistence::Store> open_store_when_there(const std::string& store,
                                                          const std::filesystem::path& data_dir);

}  // namespace credits::creditsd
