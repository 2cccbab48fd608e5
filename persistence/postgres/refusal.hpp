// Tells a server that is not there yet from one that is there and refuses.
#pragma once

#include <string>

namespace credits::persistence::postgres {

// Whether every server of `uri` refuses this user or this database, so that waiting is in vain.
// Waits for an answer for a few seconds at most.
bool refuses_for_good(const std::string& uri);

// Whether a statement that ended with this SQLSTATE may work later: the server is starting,
// stopping, out of room or of connections, or takes no writes for now.
bool is_passing(const std::string& code);

}  // namespace credits::persistence::postgres
