#include "persistence/files.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "persistence/store.hpp"

namespace credits::persistence {

namespace {

// What to do about an error of the system's, if that is plain.
std::string_view remedy_of(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return "; make room on its disk, or raise the limit";
    case EACCES:
    case EPERM:
    case EROFS:
      return "; make it readable and writable for this user";
    default:
      return "";
  }
}

[[noreturn]] void fail(const std::filesystem::path& path) {
  const int error = errno;
  throw StoreError{path.string() + ": " + std::strerror(error) + std::string{remedy_of(error)}};
}

class File {
 public:
  File(const std::filesystem::path& path, int flags) : path_{path} {
    descriptor_ = ::open(path.c_str(), flags | O_CLOEXEC, 0600);
    if (descriptor_ < 0) fail(path);
  }
  ~File() { ::close(descriptor_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  std::string read_all() const {
    std::string content;
    std::array<char, 64 * 1024> buffer;
    while (true) {
      const ssize_t got = ::read(descriptor_, buffer.data(), buffer.size());
      if (got == 0) return content;
      if (got > 0) {
        content.append(buffer.data(), static_cast<std::size_t>(got));
      } else if (errno != EINTR) {
        fail(path_);
      }
    }
  }

  void write_all(std::string_view content) const {
    while (!content.empty()) {
      const ssize_t put = ::write(descriptor_, content.data(), content.size());
      if (put >= 0) {
        content.remove_prefix(static_cast<std::size_t>(put));
      } else if (errno != EINTR) {
        fail(path_);
      }
    }
  }

  void sync() const {
    if (::fsync(descriptor_) != 0) fail(path_);
  }

 private:
  const std::filesystem::path path_;
  int descriptor_ = -1;
};

std::filesystem::path directory_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path{"."};
}

}  // namespace

std::string read_secret_file(const std::filesystem::path& path) {
  using std::filesystem::perms;
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  const perms mode = status.permissions();
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
    throw StoreError{path.string() + ": is no regular file"};
  }
  if (std::filesystem::exists(status) &&
      (mode & (perms::others_all | perms::group_write)) != perms::none) {
    throw StoreError{path.string() + ": others than its owner may read or change it; chmod 600 it"};
  }
  return read_file(path);
}

std::string read_file(const std::filesystem::path& path) { return File{path, O_RDONLY}.read_all(); }

void replace_file(const std::filesystem::path& path, std::string_view content) {
  std::filesystem::path fresh = path;
  fresh += ".new";
  try {
    {
      const File file{fresh, O_WRONLY | O_CREAT | O_TRUNC};
      file.write_all(content);
      file.sync();
    }
    if (::rename(fresh.c_str(), path.c_str()) != 0) fail(path);
  } catch (...) {
    ::unlink(fresh.c_str());  // a disk that is full needs the room
    throw;
  }
  sync_directory(directory_of(path));
}

void sync_directory(const std::filesystem::path& directory) {
  File{directory, O_RDONLY | O_DIRECTORY}.sync();
}

}  // namespace credits::persistence
