// Assertions for invariants whose breach would damage the ledger. They hold in release builds too:
// the process ends by std::terminate(), with file, line and condition in the log, and a new start
// goes on from what is stored.
#pragma once

#include <stdexcept>
#include <string>

namespace credits::base {

// Nobody catches it: the handler of std::set_terminate() finds it.
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

// What a function relies on where it begins.
#define CREDITS_EXPECTS(...) CREDITS_ASSERT("a precondition", __VA_ARGS__)
// What a function has brought about where it ends.
#define CREDITS_ENSURES(...) CREDITS_ASSERT("a postcondition", __VA_ARGS__)
