// A file descriptor that is closed when its owner goes out of scope, so that no exception leaks
// one.
#pragma once

#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

namespace credits::http {

class Descriptor {
 public:
  explicit Descriptor(int number) : number_{number} {}
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  Descriptor(Descriptor&& other) noexcept : number_{other.release()} {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  int get() const { return number_; }
  int release() { return std::exchange(number_, -1); }

 private:
  int number_;
};

// Takes ownership of `number`, the result of `call`. Throws std::system_error that names `call` if
// the result is -1.
inline Descriptor checked(int number, const char* call) {
  if (number < 0) throw std::system_error{errno, std::generic_category(), call};
  return Descriptor{number};
}

}  // namespace credits::http
