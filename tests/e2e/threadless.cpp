// Preloaded into creditsd: lets it start only $THREADS_MAX threads.
#include <dlfcn.h>
#include <pthread.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>

extern "C" int pthread_create(pthread_t* thread, const pthread_attr_t* attributes,
                              void* (*run)(void*), void* argument) {
  static const auto next =
      reinterpret_cast<decltype(&pthread_create)>(dlsym(RTLD_NEXT, "pthread_create"));
  static std::atomic<int> left{std::atoi(std::getenv("THREADS_MAX"))};
  return left-- > 0 ? next(thread, attributes, run, argument) : EAGAIN;
}
