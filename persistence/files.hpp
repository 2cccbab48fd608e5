// Plain files, durably. Every function throws StoreError with the path and the system's reason.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace credits::persistence {

// In the data directory, unless --quota names another.
inline constexpr const char* quota_file = "quota.json";

std::string read_file(const std::filesystem::path& path);

// What only its owner, and perhaps a group, may read, and only its owner may write. Throws if
// others may.
std::string read_secret_file(const std::filesystem::path& path);

// Puts `content` in the place of what the file has: a crash leaves the old content or the new one.
void replace_file(const std::filesystem::path& path, std::string_view content);

// Makes the directory's entries (files that were made, renamed or removed) durable.
void sync_directory(const std::filesystem::path& directory);

}  // namespace credits::persistence
