// The quota's file in a data directory, unless --quota names another one.
#pragma once

namespace credits::persistence {

inline constexpr const char* quota_file = "quota.json";

}  // namespace credits::persistence
