#include "actors/handlers.hpp"

namespace credits::actors {

namespace {

[[noreturn]] void fail(const std::string& actor, const std::string& message,
                       const std::string& reason) {
  throw ActorFailed{"the actor \"" + actor + "\" failed at \"" + message + "\": " + reason};
}

}  // namespace

void end_process(const std::string& actor, const std::string& message,
                 const std::string& reason) noexcept {
  fail(actor, message, reason);
}

}  // namespace credits::actors
