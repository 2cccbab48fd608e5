// Preloaded into creditsd: while the file $HANGING_FILE.hangs exists, reading $HANGING_FILE hangs,
// as on a mount whose server is down.
#include <dlfcn.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>

namespace {

bool hangs(int descriptor) {
  const std::string file = std::getenv("HANGING_FILE");
  std::error_code error;
  const auto path =
      std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(descriptor), error);
  return !error && path == file && std::filesystem::exists(file + ".hangs", error);
}

}  // namespace

extern "C" ssize_t read(int descriptor, void* bytes, size_t count) {
  static const auto next = reinterpret_cast<decltype(&read)>(dlsym(RTLD_NEXT, "read"));
  while (hangs(descriptor)) std::this_thread::sleep_for(std::chrono::milliseconds{5});
  return next(descriptor, bytes, count);
}
