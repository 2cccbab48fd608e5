// A file that takes the place of another only when it is whole: it is written beside it, and goes
// away if the command ends before, by a failure or by a signal.
#pragma once

#include <filesystem>
#include <string_view>

namespace credits::creditsctl {

// One at a time. Every function throws Failure with the file and the system's reason.
class FreshFile {
 public:
  // Makes an empty file beside `target` that is its owner's alone.
  explicit FreshFile(const std::filesystem::path& target);
  ~FreshFile();
  FreshFile(const FreshFile&) = delete;
  FreshFile& operator=(const FreshFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  void write(std::string_view content);
  void put_in_place();  // durably

 private:
  [[noreturn]] void fail() const;

  const std::filesystem::path target_;
  std::filesystem::path path_;
  int descriptor_ = -1;
};

}  // namespace credits::creditsctl
