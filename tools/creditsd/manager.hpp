// Tells the service manager how the program is doing, if one has asked for it.
#pragma once

#include <string>

namespace credits::creditsd {

// `state` as sd_notify(3) takes it. Never waits for a manager that does not listen: of what it has
// not taken yet the last few are kept. Any thread, once the handled signals are blocked.
void notify_manager(std::string state);

// That the start has come so far, and takes longer: a manager would end what takes longer than it
// allows. It gives it a minute from now on.
void ask_manager_for_time(const std::string& status);

}  // namespace credits::creditsd
