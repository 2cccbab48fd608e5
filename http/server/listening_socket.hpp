// A socket that takes connections at one address, TCP or Unix.
//
// The file of a Unix socket is made for its owner alone and gets its mode once it listens: nobody
// reaches it with more permissions than that. A file that an ended process has left is replaced;
// whatever else is at the path stays, and is an error. Processes of creditsd do so one at a time,
// as each locks the directory meanwhile (flock). Another program heeds no lock: what it puts at the
// path between the look and the removal is lost, what it puts there later makes the start fail.
#pragma once

#include <sys/stat.h>

#include "http/server/address.hpp"

namespace credits::http {

class ListeningSocket {
 public:
  // Of a host with several addresses, takes the first that it can. `mode`: of a Unix socket's file.
  // Throws std::runtime_error that says what is in the way.
  ListeningSocket(const Address& address, mode_t mode);
  // Removes the file of a Unix socket, unless another one has taken its place.
  ~ListeningSocket();
  ListeningSocket(const ListeningSocket&) = delete;
  ListeningSocket& operator=(const ListeningSocket&) = delete;

  // It does not block.
  int descriptor() const { return descriptor_; }
  // With the port that was taken.
  const Address& address() const { return address_; }

 private:
  Address address_;
  int descriptor_ = -1;
  struct ::stat file_ {};  // of a Unix socket
};

}  // namespace credits::http
