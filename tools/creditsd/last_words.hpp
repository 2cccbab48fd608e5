// Logs the reason before an unhandled exception ends the program.
#pragma once

namespace credits::creditsd {

// From now on std::terminate() logs the reason and then aborts, so that the service manager
// restarts the process and may keep its core.
void tell_before_abort();

}  // namespace credits::creditsd
