// Preloaded into creditsd: the socket of a connection over TLS 1.3 has no room for its last record,
// the word that it ends, when that is written first, as if the client took nothing.
#include <dlfcn.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

extern "C" ssize_t write(int descriptor, const void* bytes, size_t count) {
  static const auto next = reinterpret_cast<decltype(&::write)>(dlsym(RTLD_NEXT, "write"));
  constexpr size_t last_record_bytes = 24;
  static std::atomic<int> refused{-1};
  if (count != last_record_bytes || refused.exchange(descriptor) == descriptor) {
    return next(descriptor, bytes, count);
  }
  errno = EAGAIN;
  return -1;
}
