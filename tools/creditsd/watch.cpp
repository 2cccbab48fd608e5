#include "tools/creditsd/watch.hpp"

#include <string>
#include <utility>

#include "tools/creditsd/log.hpp"

namespace credits::creditsd {

namespace {

// The number since the last line.
std::uint64_t increase(const std::atomic<std::uint64_t>& total, std::uint64_t& logged) {
  const std::uint64_t now = total;
  return now - std::exchange(logged, now);
}

void tell_of(http::WrongProtocol& clients, const std::string& what) {
  const auto [count, client] = clients.take();
  if (count == 0) return;
  const std::string rest =
      count > 1 ? " (and " + std::to_string(count - 1) + " more in the last second)" : "";
  log_debug("wrong_protocol", "a client at " + client + " spoke " + what + rest);
}

}  // namespace

void Watch::look_if_due() {
  const auto now = std::chrono::steady_clock::now();
  if (now - looked_at_ < std::chrono::milliseconds{900}) return;
  looked_at_ = now;
  look();
}

void Watch::look() {
  figures_.log_lines_dropped = log_lines_dropped();
  if (const auto shed = increase(http_figures_.server.shed, shed_); shed > 0) {
    log_warning("shed_load", std::to_string(shed) +
                                 " connections and requests were answered with 503 overloaded");
  }
  if (const auto ended = increase(http_figures_.server.out_of_memory, out_of_memory_); ended > 0) {
    log_warning("out_of_memory", std::to_string(ended) +
                                     " connections were ended, as there was no memory for their "
                                     "requests or answers");
  }
  if (const auto conflicts = increase(figures_.conflicts, conflicts_); conflicts > 0) {
    log_warning("conflicts", std::to_string(conflicts) +
                                 " installs had been written by another writer and were reloaded");
  }
  if (const auto slow = http_figures_.slow_requests.take(); slow.count > 0) {
    log_warning("slow_requests", std::to_string(slow.count) + " requests; the slowest took " +
                                     std::to_string(slow.longest.count()) + " ms: " + slow.request);
  }
  tell_of(http_figures_.server.http_on_tls_port, "plain HTTP to the TLS port");
  tell_of(http_figures_.server.tls_on_plain_port, "TLS to the plain HTTP port");
}

}  // namespace credits::creditsd
