// bench_http: commits a second over HTTP, beside a handler that does nothing on the same server, in
// turns, in the same run. The load comes from one thread of this very process, over loopback.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "http/api.hpp"
#include "http/quota_file.hpp"
#include "http/server.hpp"
#include "tools/bench/setting.hpp"

namespace credits::bench {

namespace {

struct Options {
  double seconds = 3;
  std::size_t rounds = 5;
  std::size_t connections = 64;
  std::size_t installs = 10'000;
  std::string directory = ".";
};

class ServingThread {
 public:
  explicit ServingThread(http::Handler handler)
      : server_{{}, std::move(handler)}, port_{server_.bind()}, thread_{[this] {
          server_.serve();
        }} {}
  ~ServingThread() {
    server_.stop();
    thread_.join();
  }
  ServingThread(const ServingThread&) = delete;
  ServingThread& operator=(const ServingThread&) = delete;

  int port() const { return port_; }

 private:
  http::Server server_;
  const int port_;
  std::thread thread_;
};

[[noreturn]] void fail(const std::string& what) { throw std::runtime_error{"bench_http: " + what}; }

class Connection {
 public:
  explicit Connection(int port) : socket_{::socket(AF_INET, SOCK_STREAM, 0)} {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
      fail("cannot connect");
    }
    const int on = 1;
    ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  }
  ~Connection() { ::close(socket_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  int socket() const { return socket_; }

  void send(const std::string& request) const {
    if (::send(socket_, request.data(), request.size(), MSG_NOSIGNAL) !=
        static_cast<ssize_t>(request.size())) {
      fail("cannot send");
    }
  }

  // Takes what has come. Returns whether the answer is whole; it must be a 200.
  bool receive() {
    std::array<char, 4096> buffer{};
    const ssize_t got = ::recv(socket_, buffer.data(), buffer.size(), 0);
    if (got <= 0) fail("the connection ended");
    answer_.append(buffer.data(), static_cast<std::size_t>(got));
    const std::size_t head_end = answer_.find("\r\n\r\n");
    if (head_end == std::string::npos || answer_.size() < head_end + 4 + content_length()) {
      return false;
    }
    if (!answer_.starts_with("HTTP/1.1 200 ")) fail("was answered " + answer_);
    answer_.clear();
    return true;
  }

 private:
  std::size_t content_length() const {
    constexpr std::string_view name = "Content-Length: ";
    const std::size_t begin = answer_.find(name);
    if (begin == std::string::npos) fail("an answer without Content-Length");
    return std::stoul(answer_.substr(begin + name.size(), 20));
  }

  int socket_;
  std::string answer_;
};

// One request under way on every connection.
class Load {
 public:
  Load(int port, const Options& options)
      : installs_{options.installs}, poller_{::epoll_create1(0)} {
    for (std::size_t i = 0; i < options.connections; ++i) {
      connections_.push_back(std::make_unique<Connection>(port));
      epoll_event event{.events = EPOLLIN, .data = {.ptr = connections_.back().get()}};
      ::epoll_ctl(poller_, EPOLL_CTL_ADD, connections_.back()->socket(), &event);
    }
  }
  ~Load() { ::close(poller_); }
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  double run(double seconds) {
    for (auto& connection : connections_) connection->send(next_commit());
    const double rate = rate_of(seconds, [this] { return turn(true); });
    for (std::size_t left = connections_.size(); left > 0;) left -= turn(false);
    return rate;
  }

 private:
  // Waits for answers, and sends a request on their connections. Returns how many there were.
  std::size_t turn(bool goes_on) {
    std::array<epoll_event, 64> events{};
    const int ready = ::epoll_wait(poller_, events.data(), static_cast<int>(events.size()), 10'000);
    if (ready == 0) fail("no answer for 10 s");
    std::size_t answered = 0;
    for (int i = 0; i < ready; ++i) {
      auto& connection = *static_cast<Connection*>(events[static_cast<std::size_t>(i)].data.ptr);
      if (!connection.receive()) continue;
      ++answered;
      if (goes_on) connection.send(next_commit());
    }
    return answered;
  }

  std::string next_commit() {
    const std::size_t number =
        std::uniform_int_distribution<std::size_t>{0, installs_ - 1}(random_);
    return "POST /v1/installs/" + install_id_of(number) +
           "/commit HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
           "Content-Length: 34\r\n\r\n"
           R"({"backend":"gemini","tier":"core"})";
  }

  const std::size_t installs_;
  const int poller_;
  std::mt19937_64 random_{1};
  std::vector<std::unique_ptr<Connection>> connections_;
};

// As long as an install.
http::HttpResponse nothing(const http::HttpRequest&) {
  return {200, "application/json", "{\"nothing\":\"" + std::string(280, 'x') + "\"}"};
}

void run(const Options& options) {
  Ledger ledger{options.directory};
  const auto quota_path = ledger.directory() / "quota.json";
  http::QuotaFile quota_file{quota_path, ledger.environment().quota};
  http::Api api{ledger.gateway(), ledger.environment(), quota_file, {}};
  ServingThread commit_server{[&api](const http::HttpRequest& r) { return api.handle(r); }};
  ServingThread nothing_server{nothing};
  Load commits{commit_server.port(), options};
  Load nothings{nothing_server.port(), options};
  commits.run(options.seconds / 3);
  nothings.run(options.seconds / 3);
  std::vector<double> commit_rates;
  std::vector<double> nothing_rates;
  for (std::size_t round = 0; round < options.rounds; ++round) {
    nothing_rates.push_back(nothings.run(options.seconds));
    commit_rates.push_back(commits.run(options.seconds));
    std::printf("round %zu: %.0f commits/s, %.0f/s of a handler that does nothing: %.2f of it\n",
                round + 1, commit_rates.back(), nothing_rates.back(),
                commit_rates.back() / nothing_rates.back());
  }
  std::printf("median: %.0f commits/s, %.0f/s of a handler that does nothing; %zu connections\n",
              median(commit_rates), median(nothing_rates), options.connections);
}

}  // namespace

}  // namespace credits::bench

int main(int argc, char** argv) {
  credits::bench::Options options;
  CLI::App app{"Measures commits a second over HTTP beside a handler that does nothing."};
  app.option_defaults()->always_capture_default();
  app.add_option("--seconds", options.seconds, "Of each round");
  app.add_option("--rounds", options.rounds)->check(CLI::Range(1, 1'000));
  app.add_option("--connections", options.connections)->check(CLI::Range(1, 10'000));
  app.add_option("--installs", options.installs)->check(CLI::Range(1, 10'000'000));
  app.add_option("--directory", options.directory, "On the disk to measure");
  CLI11_PARSE(app, argc, argv);
  credits::bench::run(options);
}
