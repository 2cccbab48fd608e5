// Preloaded into creditsd: writes the permissions that each file has when chmod() is called for it
// into the file $CHMOD_WATCH.
#include <dlfcn.h>
#include <sys/stat.h>

#include <cstdlib>
#include <fstream>

extern "C" int chmod(const char* path, mode_t mode) noexcept {
  static const auto next = reinterpret_cast<decltype(&chmod)>(dlsym(RTLD_NEXT, "chmod"));
  struct stat found {};
  stat(path, &found);
  std::ofstream{std::getenv("CHMOD_WATCH"), std::ios::app} << std::oct << (found.st_mode & 07777U)
                                                           << '\n';
  return next(path, mode);
}
