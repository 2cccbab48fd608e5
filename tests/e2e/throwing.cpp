// Preloaded into creditsd: once the file $THROWING exists, the signal thread throws an unhandled
// exception with the file's content as its text.
#include <signal.h>
#include <time.h>

#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <string>

extern "C" int sigtimedwait(const sigset_t*, siginfo_t*, const timespec*) {
  const timespec moment{0, 10'000'000};
  nanosleep(&moment, nullptr);
  std::ifstream file{std::getenv("THROWING")};
  std::string text;
  if (std::getline(file, text)) throw std::runtime_error{text};
  return -1;
}
