// Plain files, written durably. Every function throws FileError.
#pragma once

#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>

namespace credits::base {

// The text has the path and the reason.
class FileError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Of a file that the operator names: more than the largest quota that a PUT writes.
inline constexpr std::uint64_t configured_bytes_max = std::uint64_t{32} << 20U;

// Links are followed. Throws if it is no regular file, or has more bytes: a pipe would be waited
// for, and a device may have no end.
std::string read_file(const std::filesystem::path& path,
                      std::uint64_t bytes_max = configured_bytes_max);

// The same, of a text in UTF-8, without a byte order mark. Throws if it is not one.
std::string read_text_file(const std::filesystem::path& path,
                           std::uint64_t bytes_max = configured_bytes_max);

// The same, of what only its owner, and perhaps a group, may read, and only its owner may write.
// Throws if others may.
std::string read_secret_file(const std::filesystem::path& path);

// Puts `content` in the place of what the file has: a crash leaves the old content or the new one.
// Throws if something else than a regular file has that place.
void replace_file(const std::filesystem::path& path, std::string_view content);

// Makes the directory's entries (files that were made, renamed or removed) durable.
void sync_directory(const std::filesystem::path& directory);

}  // namespace credits::base
