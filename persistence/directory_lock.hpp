// One owner for a data directory: two would each believe their own version of every row.
#pragma once

#include <filesystem>

namespace credits::persistence {

// Holds the directory as long as it lives. The kernel lets go of it even after SIGKILL.
class DirectoryLock {
 public:
  // Throws StoreError that says who holds the directory.
  explicit DirectoryLock(const std::filesystem::path& directory);
  ~DirectoryLock();
  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;

 private:
  int descriptor_ = -1;
};

}  // namespace credits::persistence
