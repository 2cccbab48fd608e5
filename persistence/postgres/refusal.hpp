// Distinguishes a server that is not available yet from one that refuses.
#pragma once

#include <string>

namespace credits::persistence::postgres {

// Whether every server of `uri` refuses this user or this database, so that waiting would not help.
// Waits a few seconds at most for an answer.
bool refuses_for_good(const std::string& uri);

// Whether a statement that failed with this SQLSTATE may succeed later: the server is starting,
// stopping, out of room or of connections, or does not accept writes at present.
bool is_passing(const std::string& code);

}  // namespace credits::persistence::postgres
