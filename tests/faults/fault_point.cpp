// The fault point of creditsd_with_faults: the handler that $CREDITS_FAULT names throws.
// `persister append 3` means the third message "append" that the persister handles.
#include <atomic>
#include <cstdlib>
#include <sstream>
#include <stdexcept>
#include <string>

#include "actors/handlers.hpp"

namespace credits::actors {

namespace {

struct Fault {
  std::string actor;
  std::string message;
  int countdown = 0;
};

Fault fault_of_environment() {
  Fault fault;
  const char* const text = std::getenv("CREDITS_FAULT");
  std::istringstream{text ? text : ""} >> fault.actor >> fault.message >> fault.countdown;
  return fault;
}

}  // namespace

void about_to_handle(const char* actor, caf::atom_value message) {
  static const Fault fault = fault_of_environment();
  static std::atomic<int> countdown{fault.countdown};
  if (fault.actor != actor || fault.message != caf::to_string(message)) return;
  if (--countdown == 0) throw std::logic_error{"it throws as it was told to"};
}

}  // namespace credits::actors
