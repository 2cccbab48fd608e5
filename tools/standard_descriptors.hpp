// A program that is started without standard input, output or error would get their numbers for
// the next files that it opens, and then write its log into one of them.
#pragma once

#include <fcntl.h>

#include <cerrno>
#include <cstdlib>

namespace credits {

// Opens those of 0, 1 and 2 that are closed on /dev/null. To be called before any file is opened.
inline void open_standard_descriptors() {
  for (const int descriptor : {0, 1, 2}) {
    const bool is_closed = ::fcntl(descriptor, F_GETFD) == -1 && errno == EBADF;
    // The lowest number that is free is the one that open() takes.
    if (is_closed && ::open("/dev/null", O_RDWR) != descriptor) std::_Exit(EXIT_FAILURE);
  }
}

}  // namespace credits
