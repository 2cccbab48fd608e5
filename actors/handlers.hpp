// Every handler of every actor runs in the wrapper below. CAF would end only the actor whose
// handler throws, and the others would wait for it for ever. Therefore an exception that a handler
// does not catch ends the process. That is safe: acknowledged writes are in the store, and the
// service manager restarts the process.
#pragma once

#include <caf/all.hpp>
#include <exception>
#include <stdexcept>
#include <string>
#include <utility>

namespace credits::actors {

// Its text names the actor, the message and the error. Nobody catches it; std::set_terminate()'s
// handler logs it.
class ActorFailed : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Ends the process by std::terminate(), with an ActorFailed as the current exception.
[[noreturn]] void end_process(const std::string& actor, const std::string& message,
                              const std::string& reason) noexcept;

// Called before each handler. A test program links its own definition to make handlers throw.
void about_to_handle(const char* actor, caf::atom_value message);

template <class Handler, class Result, class Class, class Atom, class... Arguments>
auto guarded(const char* actor, Handler handler, Result (Class::*)(Atom, Arguments...) const) {
  return [actor, handler = std::move(handler)](Atom atom, Arguments... arguments) -> Result {
    try {
      about_to_handle(actor, Atom::value);
      return handler(atom, std::forward<Arguments>(arguments)...);
    } catch (const std::exception& error) {
      end_process(actor, caf::to_string(Atom::value), error.what());
    } catch (...) {
      end_process(actor, caf::to_string(Atom::value),
                  "it threw something other than a std::exception");
    }
  };
}

// The behaviour of an actor called `name`. Only its own quit() ends it.
template <class Self, class... Handlers>
auto behavior_of(Self* self, const char* name, Handlers... handlers) {
  self->set_error_handler(
      [name](caf::error& error) { end_process(name, "error", caf::to_string(error)); });
  self->set_exit_handler(
      [name](caf::exit_msg& exit) { end_process(name, "exit", caf::to_string(exit.reason)); });
  using Behavior = typename Self::behavior_type;
  return Behavior{guarded(name, std::move(handlers), &Handlers::operator())...};
}

}  // namespace credits::actors
