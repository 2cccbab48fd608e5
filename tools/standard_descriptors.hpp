// Keeps a program that starts without standard input, output or error from reusing their
// descriptors for its next files, and from writing its log into one of them.
#pragma once

#include <fcntl.h>

#include <cerrno>
#include <cstdlib>

namespace credits {

// Opens each closed one of 0, 1 and 2 on /dev/null. Call it before any file is opened.
inline void open_standard_descriptors() {
  for (const int descriptor : {0, 1, 2}) {
    const bool is_closed = ::fcntl(descriptor, F_GETFD) == -1 && errno == EBADF;
    // open() takes the lowest free number.
    if (is_closed && ::open("/dev/null", O_RDWR) != descriptor) std::_Exit(EXIT_FAILURE);
  }
}

}  // namespace credits
