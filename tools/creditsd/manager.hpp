// Reports the program's state to the service manager, if that has asked for it.
#pragma once

#include <string>

namespace credits::creditsd {

// Sends `state`, as for sd_notify(3). Never waits for a manager that does not listen: keeps only
// the last few unsent states. Thread-safe, once the handled signals are blocked.
void notify_manager(std::string state);

// Reports the progress of a long startup, and asks for a minute from now: otherwise the manager
// would end a startup that exceeds its timeout.
void ask_manager_for_time(const std::string& status);

}  // namespace credits::creditsd
