#include "actors/base/files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "actors/base/text.hpp"

namespace credits::base {

namespace {

// Advice for a system error; empty if there is none.
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

[[noreturn]] void refuse(const std::filesystem::path& path, const std::string& why) {
  throw FileError{path.string() + ": " + why};
}

[[noreturn]] void fail(const std::filesystem::path& path) {
  const int error = errno;
  refuse(path, std::strerror(error) + std::string{remedy_of(error)});
}

constexpr const char* no_regular_file = "is not a regular file";

class File {
 public:
  File(const std::filesystem::path& path, int flags) : path_{path} {
    descriptor_ = ::open(path.c_str(), flags | O_CLOEXEC, 0600);
    if (descriptor_ < 0 && errno == ENXIO) refuse(path, no_regular_file);  // a socket
    if (descriptor_ < 0) fail(path);
  }
  ~File() { ::close(descriptor_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  struct stat status() const {
    struct stat found {};
    if (::fstat(descriptor_, &found) != 0) fail(path_);
    return found;
  }

  std::string read_all(std::uint64_t bytes_max) const {
    if (!S_ISREG(status().st_mode)) refuse(path_, no_regular_file);
    expect_at_most(bytes_max, static_cast<std::uint64_t>(status().st_size));
    std::string content;
    std::array<char, 64 * 1024> buffer;
    while (true) {
      const ssize_t got = ::read(descriptor_, buffer.data(), buffer.size());
      if (got == 0) return content;
      if (got > 0) {
        content.append(buffer.data(), static_cast<std::size_t>(got));
        expect_at_most(bytes_max, content.size());
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
  void expect_at_most(std::uint64_t bytes_max, std::uint64_t bytes) const {
    if (bytes <= bytes_max) return;
    refuse(path_,
           "has more than " + std::to_string(bytes_max >> 20U) + " MiB, the largest allowed size");
  }

  const std::filesystem::path path_;
  int descriptor_ = -1;
};

// Does not wait for the writer of a pipe, nor for any other special file.
File open_to_read(const std::filesystem::path& path) {
  return {path, O_RDONLY | O_NONBLOCK | O_NOCTTY};
}

std::string as_text(const std::filesystem::path& path, std::string content) {
  if (const auto fault = fault_of_text(content)) refuse(path, *fault);
  content.erase(0, content.size() - without_mark(content).size());
  return content;
}

void expect_place_for_file(const std::filesystem::path& path) {
  std::error_code ignored;
  const auto status = std::filesystem::status(path, ignored);
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
    refuse(path, no_regular_file);
  }
}

std::filesystem::path directory_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path{"."};
}

}  // namespace

std::string read_file(const std::filesystem::path& path, std::uint64_t bytes_max) {
  return open_to_read(path).read_all(bytes_max);
}

std::string read_text_file(const std::filesystem::path& path, std::uint64_t bytes_max) {
  return as_text(path, read_file(path, bytes_max));
}

std::string read_secret_file(const std::filesystem::path& path) {
  const File file = open_to_read(path);
  const mode_t mode = file.status().st_mode;
  if (S_ISREG(mode) && (mode & (S_IRWXO | S_IWGRP)) != 0) {
    refuse(path, "users other than its owner may read or change it; chmod 600 it");
  }
  return as_text(path, file.read_all(configured_bytes_max));
}

void replace_file(const std::filesystem::path& path, std::string_view content) {
  expect_place_for_file(path);
  std::filesystem::path fresh = path;
  fresh += ".new";
  ::unlink(fresh.c_str());  // left by a crash, or a special file that open() would wait for
  try {
    {
      const File file{fresh, O_WRONLY | O_CREAT | O_EXCL};
      file.write_all(content);
      file.sync();
    }
    if (::rename(fresh.c_str(), path.c_str()) != 0) fail(path);
  } catch (...) {
    ::unlink(fresh.c_str());  // a full disk needs the space
    throw;
  }
  sync_directory(directory_of(path));
}

void sync_directory(const std::filesystem::path& directory) {
  File{directory, O_RDONLY | O_DIRECTORY}.sync();
}

}  // namespace credits::base
