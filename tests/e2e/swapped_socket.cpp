// Preloaded into creditsd: as soon as a Unix socket is bound, a link to the file $SWAP_TARGET takes
// the place of its file.
#include <dlfcn.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>

extern "C" int bind(int socket, const sockaddr* address, socklen_t size) noexcept {
  static const auto next = reinterpret_cast<decltype(&bind)>(dlsym(RTLD_NEXT, "bind"));
  const int result = next(socket, address, size);
  if (result == 0 && address->sa_family == AF_UNIX) {
    const char* const path = reinterpret_cast<const sockaddr_un*>(address)->sun_path;
    unlink(path);
    if (symlink(std::getenv("SWAP_TARGET"), path) != 0) std::abort();
  }
  return result;
}
