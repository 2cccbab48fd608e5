// Gives a data directory one owner: two would each trust their own version of every row. Also
// checks whether the directory and its files are still in place: a file that is removed or replaced
// still accepts the writes of a process that has it open, and nobody will ever read them.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace credits::persistence {

inline constexpr const char* lock_file = "lock";

// Locks the directory for its own lifetime. The kernel releases the lock even after SIGKILL.
class DirectoryLock {
 public:
  // Throws a StoreError that names the process holding the directory.
  explicit DirectoryLock(const std::filesystem::path& directory);
  ~DirectoryLock();
  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;

 private:
  int descriptor_ = -1;
};

// The directory and the files of an open ledger. Any thread may check them.
class Ground {
 public:
  // Remembers the current `directory` and these files in it. Throws StoreError.
  Ground(const std::filesystem::path& directory, const std::vector<std::string>& files);
  ~Ground();
  Ground(const Ground&) = delete;
  Ground& operator=(const Ground&) = delete;

  // Describes the first file that has been removed, moved or replaced since; nullopt if all are in
  // place. Throws StoreError if it cannot find out.
  std::optional<std::string> find_loss() const;

  // The same, but only for files that have no name any more. Takes a few microseconds.
  std::optional<std::string> find_removed() const;

 private:
  struct Held {
    std::filesystem::path path;
    int descriptor = -1;  // keeps its inode from being reused
  };

  void hold(const std::filesystem::path& path);
  void release();

  std::vector<Held> held_;
};

}  // namespace credits::persistence
