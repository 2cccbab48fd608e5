#include "persistence/sqlite/directory_lock.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>

#include "persistence/sqlite/file.hpp"
#include "persistence/store.hpp"

namespace credits::persistence {

namespace {

std::string holder_of(int descriptor) {
  std::array<char, 64> text{};
  const ssize_t length = ::pread(descriptor, text.data(), text.size(), 0);
  return length > 0 ? std::string{text.data(), static_cast<std::size_t>(length)} : "someone";
}

[[noreturn]] void refuse(const std::filesystem::path& directory) {
  throw StoreError{kind_of_system_error(errno),
                   "cannot write to the data directory " + directory.string() + ": " +
                       std::strerror(errno) +
                       "; make it writable for this user, or choose another one"};
}

}  // namespace

DirectoryLock::DirectoryLock(const std::filesystem::path& directory) {
  // Its files may be writable although the directory is not, and then fail later.
  if (::access(directory.c_str(), W_OK | X_OK) != 0) refuse(directory);
  const std::filesystem::path path = directory / lock_file;
  descriptor_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (descriptor_ < 0) {
    refuse(directory);
  }
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
    const std::string holder = holder_of(descriptor_);
    ::close(descriptor_);
    throw StoreError{StoreErrorKind::refused,
                     "the data directory " + directory.string() + " is in use by " + holder +
                         "; stop that one first, or choose another directory"};
  }
  const std::string owner = "the process with pid " + std::to_string(::getpid());
  // Written before it is truncated: an existing file then needs no more room.
  const auto size = static_cast<ssize_t>(owner.size());
  if (::pwrite(descriptor_, owner.data(), owner.size(), 0) != size ||
      ::ftruncate(descriptor_, size) != 0) {
    const int reason = errno;
    ::close(descriptor_);
    throw StoreError{kind_of_system_error(reason),
                     "cannot write to " + path.string() + ": " + std::strerror(reason) +
                         "; make room on its disk, or make it writable for this user"};
  }
}

DirectoryLock::~DirectoryLock() { ::close(descriptor_); }

Ground::Ground(const std::filesystem::path& directory, const std::vector<std::string>& files) {
  try {
    hold(directory);
    for (const std::string& file : files) hold(directory / file);
  } catch (...) {
    release();
    throw;
  }
}

Ground::~Ground() { release(); }

// O_PATH: closing any other descriptor of a file would release SQLite's locks on it.
void Ground::hold(const std::filesystem::path& path) {
  const int descriptor = ::open(path.c_str(), O_PATH | O_CLOEXEC);
  if (descriptor < 0)
    throw StoreError{kind_of_system_error(errno), path.string() + ": " + std::strerror(errno)};
  held_.push_back({path, descriptor});
}

void Ground::release() {
  for (const Held& held : held_) ::close(held.descriptor);
}

std::optional<std::string> Ground::find_loss() const {
  for (const auto& [path, descriptor] : held_) {
    struct ::stat held {};
    struct ::stat there {};
    if (::fstat(descriptor, &held) != 0) {
      throw StoreError{kind_of_system_error(errno), path.string() + ": " + std::strerror(errno)};
    }
    if (::stat(path.c_str(), &there) != 0) {
      if (errno == ENOENT || errno == ENOTDIR) return path.string() + " was removed or moved away";
      throw StoreError{kind_of_system_error(errno), path.string() + ": " + std::strerror(errno)};
    }
    if (held.st_dev != there.st_dev || held.st_ino != there.st_ino) {
      return path.string() + " was replaced";
    }
  }
  return std::nullopt;
}

std::optional<std::string> Ground::find_removed() const {
  for (const auto& [path, descriptor] : held_) {
    struct ::stat held {};
    if (::fstat(descriptor, &held) == 0 && held.st_nlink == 0) {
      return path.string() + " was removed";
    }
  }
  return std::nullopt;
}

}  // namespace credits::persistence
