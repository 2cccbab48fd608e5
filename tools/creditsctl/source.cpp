#include "tools/creditsctl/source.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "actors/base/text.hpp"
#include "tools/creditsctl/failure.hpp"

namespace credits::creditsctl {

namespace {

constexpr std::size_t piece_bytes_max = 256 * 1024;

}  // namespace

Source::Source(const std::string& path, std::uint64_t bytes_max)
    : path_{path == "-" ? "standard input" : path}, bytes_max_{bytes_max} {
  descriptor_ = path == "-" ? ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)
                            : ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY);
  struct stat status {};
  if (descriptor_ < 0 || ::fstat(descriptor_, &status) != 0) fail(std::strerror(errno));
  if (S_ISDIR(status.st_mode)) fail("is a directory");
  if (S_ISREG(status.st_mode)) size_ = static_cast<std::uint64_t>(status.st_size);
  if (size_.value_or(0) > bytes_max_) fail_as_large();
}

Source::~Source() { ::close(descriptor_); }

std::string_view Source::read() {
  const bool is_begin = bytes_read_ == 0;
  fill();
  bytes_read_ += buffer_.size();
  if (bytes_read_ > bytes_max_) fail_as_large();
  if (!is_begin) return buffer_;
  if (const auto fault = base::fault_of_encoding(buffer_)) fail(*fault);
  return base::without_mark(buffer_);
}

// One read from a pipe may return only a few bytes.
void Source::fill() {
  buffer_.resize(piece_bytes_max);
  std::size_t filled = 0;
  while (filled < piece_bytes_max) {
    const ssize_t got = ::read(descriptor_, buffer_.data() + filled, piece_bytes_max - filled);
    if (got == 0) break;
    if (got < 0 && errno != EINTR) fail(std::strerror(errno));
    if (got > 0) filled += static_cast<std::size_t>(got);
  }
  buffer_.resize(filled);
}

void Source::fail_as_large() const {
  fail("exceeds the limit of " + std::to_string(bytes_max_ >> 20U) + " MiB");
}

void Source::fail(const std::string& why) const { throw Failure{failed, path_ + ": " + why}; }

}  // namespace credits::creditsctl
