// Assertions for invariants whose breach would damage the ledger. They are active in release builds
// too: the process ends by std::terminate(), with file, line and condition in the log, and a
// restart continues from the stored state.
#pragma once

#include <stdexcept>
#include <string>

namespace credits::base {

// Nobody catches it; std::set_terminate()'s handler logs it.
class InvariantBroken : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

namespace detail {

[[noreturn]] inline void throw_broken(const char* file, int line, const char* what) {
  throw InvariantBroken{std::string{file} + ":" + std::to_string(line) + ": " + what};
}

[[noreturn]] inline void end_process(const char* file, int line, const char* what) noexcept {
  throw_broken(file, line, what);
}

}  // namespace detail

}  // namespace credits::base

#define CREDITS_ASSERT(kind, ...)                                           \
  ((__VA_ARGS__) ? static_cast<void>(0)                                     \
                 : ::credits::base::detail::end_process(__FILE__, __LINE__, \
                                                        kind " does not hold: " #__VA_ARGS__))

// A condition that a function relies on when it begins.
#define CREDITS_EXPECTS(...) CREDITS_ASSERT("a precondition", __VA_ARGS__)
// A condition that a function guarantees when it ends.
#define CREDITS_ENSURES(...) CREDITS_ASSERT("a postcondition", __VA_ARGS__)
