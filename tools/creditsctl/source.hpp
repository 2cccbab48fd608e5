// A file that a command sends to the server, piece by piece: a regular file, or another program's
// output through a pipe, the shell's `<(…)`, or standard input (`-`).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace credits::creditsctl {

// Every function throws Failure, which names the file and its fault.
class Source {
 public:
  // Throws if it is a directory, or a regular file of more than `bytes_max`.
  Source(const std::string& path, std::uint64_t bytes_max);
  ~Source();
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;

  // Returns the next piece, without a byte order mark; empty at the end. Valid until the next call.
  // Throws beyond `bytes_max`, or if the file begins in UTF-16 or UTF-32.
  std::string_view read();

  std::uint64_t bytes_read() const { return bytes_read_; }
  std::optional<std::uint64_t> size() const { return size_; }  // nullopt: not a regular file

 private:
  [[noreturn]] void fail(const std::string& why) const;
  [[noreturn]] void fail_as_large() const;
  void fill();

  const std::string path_;
  const std::uint64_t bytes_max_;
  int descriptor_ = -1;
  std::optional<std::uint64_t> size_;
  std::uint64_t bytes_read_ = 0;
  std::string buffer_;
};

}  // namespace credits::creditsctl
