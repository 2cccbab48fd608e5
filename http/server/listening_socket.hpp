// A socket that listens on one address, TCP or Unix.
//
// The file of a Unix socket is made for its owner alone, and gets its mode once the socket listens:
// at no moment does it allow more. The stale socket of an ended process is replaced; any other file
// at the path is an error, and stays. Processes of creditsd do this one at a time, because each
// locks the file `<path>.lock` (flock), which only its owner can open. Other programs ignore the
// lock: a file that one puts at the path between the check and the removal is lost; a later one
// makes the start fail.
#pragma once

#include <sys/stat.h>

#include "http/server/address.hpp"

namespace credits::http {

class ListeningSocket {
 public:
  // If a host has several addresses, listens on the first that works. `mode` is that of a Unix
  // socket's file. Throws std::runtime_error with the reason.
  ListeningSocket(const Address& address, mode_t mode);
  // Removes the file of a Unix socket, unless another file has taken its place.
  ~ListeningSocket();
  ListeningSocket(const ListeningSocket&) = delete;
  ListeningSocket& operator=(const ListeningSocket&) = delete;

  // Non-blocking.
  int descriptor() const { return descriptor_; }
  // With the actual port.
  const Address& address() const { return address_; }

 private:
  Address address_;
  int descriptor_ = -1;
  struct ::stat file_ {};  // of a Unix socket
};

}  // namespace credits::http
