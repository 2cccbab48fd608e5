// What the program says before it is ended by an exception that nothing handles.
#pragma once

namespace credits::creditsd {

// From now on std::terminate() tells the log why, and then aborts: whoever looks after the process
// starts it again, and may keep its core.
void tell_before_abort();

}  // namespace credits::creditsd
