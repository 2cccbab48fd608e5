// One owner for a data directory: two would each believe their own version of every row. And a look
// whether the directory and its files are still where they were: what is removed or replaced
// beneath a process still takes all that it writes, and nobody will ever read it.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace credits::persistence {

inline constexpr const char* lock_file = "lock";

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

// The files that a ledger stands on. Any thread may look at them.
class Ground {
 public:
  // What `directory` and these files in it are now. Throws StoreError.
  Ground(const std::filesystem::path& directory, const std::vector<std::string>& files);
  ~Ground();
  Ground(const Ground&) = delete;
  Ground& operator=(const Ground&) = delete;

  // What has been removed, moved or replaced since, in words; nothing if all is in its place.
  // Throws StoreError if that cannot be told.
  std::optional<std::string> find_loss() const;

  // The same of what has no name at all any more, in a few microseconds.
  std::optional<std::string> find_removed() const;

 private:
  struct Held {
    std::filesystem::path path;
    int descriptor = -1;  // keeps its inode from being used again
  };

  void hold(const std::filesystem::path& path);
  void let_go();

  std::vector<Held> held_;
};

}  // namespace credits::persistence
