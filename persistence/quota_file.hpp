// The quota's place in a data directory, unless --quota names another file.
#pragma once

namespace credits::persistence {

inline constexpr const char* quota_file = "quota.json";

}  // namespace credits::persistence
