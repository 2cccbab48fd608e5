#include "tests/persistence/refusing_disk.hpp"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <filesystem>
#include <string_view>

namespace {

std::atomic<int> write_error{0};
std::string refused_name;    // changed while write_error is 0
std::string read_only_name;  // changed while nothing is opened

bool is_refused(int descriptor) {
  if (write_error == 0) return false;
  std::error_code error;
  const auto path =
      std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(descriptor), error);
  return path.string().find(refused_name) != std::string::npos;
}

}  // namespace

// A program's own functions precede those of the C library, also for the libraries that it loads.
// SQLite calls these.
extern "C" ssize_t pwrite64(int descriptor, const void* bytes, size_t count, off64_t offset) {
  if (!is_refused(descriptor)) return ::syscall(SYS_pwrite64, descriptor, bytes, count, offset);
  errno = write_error;
  return -1;
}

extern "C" int open64(const char* path, int flags, ...) {
  std::va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = va_arg(arguments, mode_t);
  va_end(arguments);
  const bool writes = (flags & O_ACCMODE) != O_RDONLY;
  if (writes && !read_only_name.empty() && std::string_view{path}.ends_with(read_only_name)) {
    errno = EROFS;
    return -1;
  }
  return static_cast<int>(::syscall(SYS_openat, AT_FDCWD, path, flags, mode));
}

namespace credits::tests {

RefusingDisk::RefusingDisk(const std::string& name, int error) {
  refused_name = name;
  write_error = error;
}
RefusingDisk::~RefusingDisk() { write_error = 0; }

ReadOnlyFile::ReadOnlyFile(const std::string& name) { read_only_name = name; }
ReadOnlyFile::~ReadOnlyFile() { read_only_name.clear(); }

}  // namespace credits::tests
