// The live figures of the transport.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <utility>

namespace credits::http {

// Clients that speak a different protocol from the port's: their number and the last one's address,
// since the last take().
class WrongProtocol {
 public:
  struct Seen {
    std::uint64_t count = 0;
    std::string client;
  };

  void add(std::string client) {
    const std::lock_guard lock{mutex_};
    ++seen_.count;
    seen_.client = std::move(client);
  }

  Seen take() {
    const std::lock_guard lock{mutex_};
    return std::exchange(seen_, {});
  }

 private:
  std::mutex mutex_;
  Seen seen_;  // guarded by mutex_
};

struct ServerFigures {
  std::atomic<std::int64_t> connections{0};
  std::atomic<std::uint64_t> shed{0};  // connections and requests refused because of overload
  std::atomic<std::uint64_t> out_of_memory{0};  // connections that ended for lack of memory
  WrongProtocol http_on_tls_port{};
  WrongProtocol tls_on_plain_port{};
};

}  // namespace credits::http
