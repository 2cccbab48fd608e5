// Tells the service manager how the program is doing, if one has asked for it.
#pragma once

#include <string>

namespace credits::creditsd {

// `state` as sd_notify(3) takes it. Never waits for a manager that does not listen: of what it has
// not taken yet the last few are kept. Any thread, once the handled signals are blocked.
void notify_manager(std::string state);

}  // namespace credits::creditsd
