// Opens the ledger, however long that takes: waits for a database that is not available yet, and
// reports the progress of a journal replay to the log and the service manager.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "persistence/store.hpp"

namespace credits::creditsd {

// Throws the errors of open_store() except of a database that may become available.
std::unique_ptr<persistence::Store> open_store_when_available(
    const std::string& store, const std::filesystem::path& data_dir);

}  // namespace credits::creditsd
