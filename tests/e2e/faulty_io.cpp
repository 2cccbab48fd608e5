// Preloaded into creditsd: while the file $FAULTY_IO exists, writing to a journal fails. The file's
// content selects the fault: "write" or "sync", with the error's number unless it is EIO; "stall"
// makes a sync last as long as the file exists; "slow" makes it take 20 ms longer.
#include <dlfcn.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>

namespace {

bool is_journal(int descriptor) {
  char path[4096];
  const std::string link = "/proc/self/fd/" + std::to_string(descriptor);
  const ssize_t size = readlink(link.c_str(), path, sizeof(path));
  return size > 0 &&
         std::string(path, static_cast<std::size_t>(size)).find("journal.db") != std::string::npos;
}

bool is_told(const char* what, int descriptor, int* error = nullptr) {
  std::ifstream file{std::getenv("FAULTY_IO")};
  std::string told;
  if (!(file >> told) || told != what || !is_journal(descriptor)) return false;
  int number = 0;
  if (error != nullptr) *error = file >> number ? number : EIO;
  return true;
}

template <class Call, class... Arguments>
auto call_or_fail(const char* name, const char* what, int descriptor, Arguments... arguments) {
  static const auto next = reinterpret_cast<Call*>(dlsym(RTLD_NEXT, name));
  int error = 0;
  if (!is_told(what, descriptor, &error)) return next(descriptor, arguments...);
  errno = error;
  return decltype(next(descriptor, arguments...)){-1};
}

}  // namespace

extern "C" {

ssize_t pwrite64(int descriptor, const void* bytes, size_t count, off64_t offset) {
  return call_or_fail<ssize_t(int, const void*, size_t, off64_t)>("pwrite64", "write", descriptor,
                                                                  bytes, count, offset);
}

int fdatasync(int descriptor) {
  while (is_told("stall", descriptor)) std::this_thread::sleep_for(std::chrono::milliseconds{5});
  if (is_told("slow", descriptor)) std::this_thread::sleep_for(std::chrono::milliseconds{20});
  return call_or_fail<int(int)>("fdatasync", "sync", descriptor);
}

}  // extern "C"
