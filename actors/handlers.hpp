// Every handler of every actor runs in here. CAF would end an actor whose handler throws, and the
// rest would wait for it for ever; so whatever a handler leaves unhandled ends the process, which
// is made for that: what was acknowledged is in the store, and the service manager starts it again.
#pragma once

#include <caf/all.hpp>
#include <exception>
#include <stdexcept>
#include <string>
#include <utility>

namespace credits::actors {

// Names the actor, its message, and what went wrong. Nobody catches it: it is what
// std::set_terminate()'s handler finds.
class ActorFailed : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Ends the process by std::terminate(), with an ActorFailed under way.
[[noreturn]] void end_process(const std::string& actor, const std::string& message,
                              const std::string& reason) noexcept;

// Where a program for tests makes a handler throw, by linking another definition.
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
      end_process(actor, caf::to_string(Atom::value), "it threw what is no exception");
    }
  };
}

// The behaviour of an actor called `name`; nothing but its own quit() ends it.
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
