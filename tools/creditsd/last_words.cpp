#include "tools/creditsd/last_words.hpp"

#include <cxxabi.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <exception>
#include <memory>
#include <string>

#include "tools/creditsd/log.hpp"

namespace credits::creditsd {

namespace {

// This thread may already hold the log's locks: after this time the process ends without the line.
constexpr unsigned last_words_seconds = 3;

std::string name_of(const std::type_info& type) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> name{
      abi::__cxa_demangle(type.name(), nullptr, nullptr, &status), std::free};
  return name ? name.get() : type.name();
}

std::string reason() {
  const std::exception_ptr exception = std::current_exception();
  const std::type_info* const type = abi::__cxa_current_exception_type();
  if (!exception || type == nullptr) return "std::terminate() was called";
  try {
    std::rethrow_exception(exception);
  } catch (const std::exception& error) {
    return "unhandled " + name_of(*type) + ": " + error.what();
  } catch (...) {
    return "unhandled " + name_of(*type);
  }
}

[[noreturn]] void log_and_abort() {
  std::signal(SIGALRM, [](int) { std::abort(); });
  ::alarm(last_words_seconds);
  log_error("aborted",
            reason() + "; acknowledged writes are kept, and a restart continues from them");
  flush_log();
  std::abort();
}

}  // namespace

void tell_before_abort() { std::set_terminate(log_and_abort); }

}  // namespace credits::creditsd
