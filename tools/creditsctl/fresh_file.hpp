// Replaces a file only once the new content is complete: the content is written to a file beside
// it, which is removed if the command fails or a signal ends it.
#pragma once

#include <filesystem>
#include <string_view>

namespace credits::creditsctl {

// One at a time. Every function throws Failure with the file and the system's reason.
class FreshFile {
 public:
  // Creates an empty file beside `target` that only its owner can access.
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
