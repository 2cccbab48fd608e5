#include "tests/persistence/failing_sync.hpp"

#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

namespace {

std::atomic<bool> is_failing{false};

int sync_or_fail(long number, int descriptor) {
  if (!is_failing) return static_cast<int>(::syscall(number, descriptor));
  errno = EIO;
  return -1;
}

}  // namespace

// A program's own functions precede those of the C library, also for the libraries that it loads.
extern "C" int fsync(int descriptor) { return sync_or_fail(SYS_fsync, descriptor); }
extern "C" int fdatasync(int descriptor) { return sync_or_fail(SYS_fdatasync, descriptor); }

namespace credits::tests {

FailingSync::FailingSync() { is_failing = true; }
FailingSync::~FailingSync() { is_failing = false; }

}  // namespace credits::tests
