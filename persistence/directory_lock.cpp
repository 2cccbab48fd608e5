#include "persistence/directory_lock.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>

#include "persistence/store.hpp"

namespace credits::persistence {

namespace {

std::string holder_of(int descriptor) {
  std::array<char, 64> text{};
  const ssize_t length = ::pread(descriptor, text.data(), text.size(), 0);
  return length > 0 ? std::string{text.data(), static_cast<std::size_t>(length)} : "someone";
}

[[noreturn]] void refuse(const std::filesystem::path& directory) {
  throw StoreError{"cannot write to the data directory " + directory.string() + ": " +
                   std::strerror(errno) +
                   "; make it writable for this user, or choose another one"};
}

}  // namespace

DirectoryLock::DirectoryLock(const std::filesystem::path& directory) {
  // What is in it may be writable all the same, for the first while.
  if (::access(directory.c_str(), W_OK | X_OK) != 0) refuse(directory);
  const std::filesystem::path path = directory / "lock";
  descriptor_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (descriptor_ < 0) {
    refuse(directory);
  }
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
    const std::string holder = holder_of(descriptor_);
    ::close(descriptor_);
    throw StoreError{"the data directory " + directory.string() + " is in use by " + holder +
                     "; stop that one first, or choose another directory"};
  }
  const std::string owner = "the process with pid " + std::to_string(::getpid());
  // In this order, so that a file that is there needs no more room than it has.
  const auto size = static_cast<ssize_t>(owner.size());
  if (::pwrite(descriptor_, owner.data(), owner.size(), 0) != size ||
      ::ftruncate(descriptor_, size) != 0) {
    const std::string reason = std::strerror(errno);
    ::close(descriptor_);
    throw StoreError{"cannot write to " + path.string() + ": " + reason +
                     "; make room on its disk, or make it writable for this user"};
  }
}

DirectoryLock::~DirectoryLock() { ::close(descriptor_); }

}  // namespace credits::persistence
