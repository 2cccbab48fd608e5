// Reads plain files, and writes them durably. Every function throws FileError.
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

// The size limit for files that an operator names: more than the largest quota that a PUT writes.
inline constexpr std::uint64_t configured_bytes_max = std::uint64_t{32} << 20U;

// Follows links. Throws if the file is not a regular file or has more bytes: a pipe could block,
// and a device may be endless.
std::string read_file(const std::filesystem::path& path,
                      std::uint64_t bytes_max = configured_bytes_max);

// The same for a text in UTF-8, which is returned without a byte order mark. Throws if it is not
// text.
std::string read_text_file(const std::filesystem::path& path,
                           std::uint64_t bytes_max = configured_bytes_max);

// The same for a file that only its owner, and perhaps a group, may read, and only its owner may
// write. Throws if others may.
std::string read_secret_file(const std::filesystem::path& path);

// Replaces the file's content atomically: a crash leaves the old content or the new one. Throws if
// something other than a regular file has that path.
void replace_file(const std::filesystem::path& path, std::string_view content);

// Makes the directory's entries (created, renamed and removed files) durable.
void sync_directory(const std::filesystem::path& directory);

}  // namespace credits::base
