// bench_http: operations per second over HTTP, for several kinds of traffic and a no-op handler on
// the same server, in turns, in one run. The load comes over loopback, from a thread of this
// process.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "http/api/api.hpp"
#include "http/api/quota_storage.hpp"
#include "http/server/server.hpp"
#include "tools/bench/setting.hpp"

namespace credits::bench {

namespace {

struct Options {
  double seconds = 3;
  std::size_t rounds = 5;
  std::size_t connections = 64;
  std::size_t installs = 10'000;
  std::vector<std::string> traffic{"nothing", "plan", "commit", "keyed", "reserve-settle", "batch"};
  std::size_t batch_operations = 1'000;
  std::size_t batch_connections = 4;
  bool fills = false;
  std::string directory = ".";
};

class ServingThread {
 public:
  explicit ServingThread(http::Service& service)
      : server_{{}, figures_, service}, port_{server_.start().front().port}, thread_{[this] {
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
  http::ServerFigures figures_;
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

  // Receives available bytes. Returns whether the answer is complete; it must be a 2xx.
  bool receive() {
    if (is_whole_) answer_.clear();
    const ssize_t got = ::recv(socket_, buffer_.data(), buffer_.size(), 0);
    if (got <= 0) fail("the connection ended");
    answer_.append(buffer_.data(), static_cast<std::size_t>(got));
    const std::size_t head_end = answer_.find("\r\n\r\n");
    is_whole_ = head_end != std::string::npos && answer_.size() >= head_end + 4 + content_length();
    if (is_whole_ && !answer_.starts_with("HTTP/1.1 2")) fail("was answered " + answer_);
    return is_whole_;
  }

  const std::string& answer() const { return answer_; }

  std::string memo;

 private:
  std::size_t content_length() const {
    constexpr std::string_view name = "Content-Length: ";
    const std::size_t begin = answer_.find(name);
    if (begin == std::string::npos) fail("an answer without Content-Length");
    return std::stoul(answer_.substr(begin + name.size(), 20));
  }

  int socket_;
  std::vector<char> buffer_ = std::vector<char>(64 * 1024);
  std::string answer_;
  bool is_whole_ = true;
};

// Makes a client's next request, and the number of operations it counts as.
struct Traffic {
  std::string what;
  std::size_t connections;
  // `answer` is for the previous request on the connection; `memo` belongs to the connection and
  // passes information to its next request.
  std::function<std::string(const std::string& answer, std::string& memo)> next_request;
  double operations_per_answer = 1;
};

// Keeps one request in flight on every connection.
class Load {
 public:
  Load(int port, Traffic traffic) : traffic_{std::move(traffic)}, poller_{::epoll_create1(0)} {
    for (std::size_t i = 0; i < traffic_.connections; ++i) {
      connections_.push_back(std::make_unique<Connection>(port));
      epoll_event event{.events = EPOLLIN, .data = {.ptr = connections_.back().get()}};
      ::epoll_ctl(poller_, EPOLL_CTL_ADD, connections_.back()->socket(), &event);
    }
  }
  ~Load() { ::close(poller_); }
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  const std::string& what() const { return traffic_.what; }
  std::size_t connections() const { return traffic_.connections; }

  // Returns operations per second.
  double run(double seconds) {
    for (auto& connection : connections_) send_next(*connection);
    const double rate = rate_of(seconds, [this] { return turn(true); });
    for (std::size_t left = connections_.size(); left > 0;) left -= turn(false);
    return rate * traffic_.operations_per_answer;
  }

 private:
  // Waits for answers, and sends a request on their connections. Returns the number of answers.
  std::size_t turn(bool goes_on) {
    std::array<epoll_event, 64> events{};
    const int ready = ::epoll_wait(poller_, events.data(), static_cast<int>(events.size()), 10'000);
    if (ready == 0) fail("no answer for 10 s");
    std::size_t answered = 0;
    for (int i = 0; i < ready; ++i) {
      auto& connection = *static_cast<Connection*>(events[static_cast<std::size_t>(i)].data.ptr);
      if (!connection.receive()) continue;
      ++answered;
      if (goes_on) send_next(connection);
    }
    return answered;
  }

  void send_next(Connection& connection) {
    connection.send(traffic_.next_request(connection.answer(), connection.memo));
  }

  const Traffic traffic_;
  const int poller_;
  std::vector<std::unique_ptr<Connection>> connections_;
};

// A no-op handler; its answer is as long as an install.
class Nothing : public http::Service {
 public:
  http::Admission admit(const http::HttpRequest&) override {
    http::Admission admission;
    admission.body_bytes_max = 1'000;
    return admission;
  }
  http::HttpResponse refuse(int status, std::string detail) override {
    return {status, "text/plain", std::move(detail)};
  }
  http::HttpResponse failed(const std::exception& error) override {
    return {500, "text/plain", error.what()};
  }
  Begun begin(const http::HttpRequest&, const http::Admission&,
              const std::shared_ptr<http::Listener>&) override {
    return http::HttpResponse{200, "application/json",
                              "{\"nothing\":\"" + std::string(280, 'x') + "\"}"};
  }
};

class RandomInstall {
 public:
  explicit RandomInstall(std::size_t installs) : distribution_{0, installs - 1} {}
  std::string operator()() { return install_id_of(distribution_(random_)); }

 private:
  std::mt19937_64 random_{1};
  std::uniform_int_distribution<std::size_t> distribution_;
};

std::string post(const std::string& path, const std::string& body,
                 const std::string& headers = "") {
  return "POST " + path + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" +
         headers + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

const std::string commit_body = R"({"backend":"gemini","tier":"max"})";

Traffic commits(const std::string& what, const Options& options) {
  return {what, options.connections,
          [install = RandomInstall{options.installs}](const std::string&, std::string&) mutable {
            return post("/v1/installs/" + install() + "/commit", commit_body);
          }};
}

Traffic plans(const Options& options) {
  return {"plans", options.connections,
          [install = RandomInstall{options.installs}](const std::string&, std::string&) mutable {
            return post("/v1/installs/" + install() + "/plan", R"({"tier":"max"})");
          }};
}

Traffic commits_with_keys(const Options& options) {
  return {"commits with a new key", options.connections,
          [install = RandomInstall{options.installs}, key = std::uint64_t{0}](
              const std::string&, std::string&) mutable {
            return post(
                "/v1/installs/" + install() + "/commit", commit_body,
                "Idempotency-Key: 00000000-0000-4000-8000-" + std::to_string(++key) + "\r\n");
          }};
}

// Returns the value of a string member of the answer.
std::string member_of(const std::string& answer, const std::string& name) {
  const std::string start = "\"" + name + "\":\"";
  const std::size_t begin = answer.find(start);
  if (begin == std::string::npos) return {};
  return answer.substr(begin + start.size(),
                       answer.find('"', begin + start.size()) - begin - start.size());
}

Traffic reserve_settle_pairs(const Options& options) {
  return {"reserve and settle pairs", options.connections,
          [install = RandomInstall{options.installs}](const std::string& answer,
                                                      std::string& reservations) mutable {
            if (reservations.empty()) {
              reservations = "/v1/installs/" + install() + "/reservations";
              return post(reservations, R"({"tier":"max"})");
            }
            return post(std::exchange(reservations, {}) + "/" +
                            member_of(answer, "reservation_id") + "/commit",
                        "");
          },
          0.5};
}

// Commits to distinct installs. Builds the requests beforehand, because they are large.
Traffic batches(const Options& options) {
  constexpr std::size_t prime = 7'919;
  std::mt19937_64 random{1};
  std::vector<std::string> requests;
  for (int i = 0; i < 64; ++i) {
    const std::size_t start = random() % options.installs;
    std::string body = R"({"operations":[)";
    for (std::size_t n = 0; n < options.batch_operations; ++n) {
      body += std::string{n == 0 ? "" : ","} + R"({"op":"commit","install_id":")" +
              install_id_of((start + n * prime) % options.installs) +
              R"(","backend":"gemini","tier":"max"})";
    }
    requests.push_back(post("/v1/batch", body + "]}"));
  }
  return {
      "commits in batches of " + std::to_string(options.batch_operations),
      options.batch_connections,
      [requests = std::move(requests), next = std::size_t{0}](
          const std::string&, std::string&) mutable { return requests[next++ % requests.size()]; },
      static_cast<double>(options.batch_operations)};
}

Traffic traffic_of(const std::string& name, const Options& options) {
  if (name == "batch") return batches(options);
  if (name == "plan") return plans(options);
  if (name == "keyed") return commits_with_keys(options);
  if (name == "reserve-settle") return reserve_settle_pairs(options);
  return commits(name == "nothing" ? "requests to a no-op handler" : "commits", options);
}

void run(const Options& options) {
  Ledger ledger{options.directory, options.installs};
  if (options.fills) ledger.fill(options.installs);
  http::QuotaFile quota_file{ledger.directory() / "quota.json"};
  http::QuotaKeeper quota{quota_file, ledger.environment().quota};
  const http::Access access;
  http::HttpFigures figures;
  http::Api api{{ledger.gateway(), ledger.environment(), quota, access, figures, {}}, {}};
  Nothing nothing;
  ServingThread api_server{api};
  ServingThread nothing_server{nothing};
  std::vector<std::unique_ptr<Load>> loads;
  for (const std::string& name : options.traffic) {
    const int port = name == "nothing" ? nothing_server.port() : api_server.port();
    loads.push_back(std::make_unique<Load>(port, traffic_of(name, options)));
    loads.back()->run(options.seconds / 3);
  }
  std::vector<std::vector<double>> rates(loads.size());
  for (std::size_t round = 0; round < options.rounds; ++round) {
    for (std::size_t i = 0; i < loads.size(); ++i) {
      rates[i].push_back(loads[i]->run(options.seconds));
      std::printf("round %zu: %7.0f/s %s\n", round + 1, rates[i].back(), loads[i]->what().c_str());
    }
  }
  for (std::size_t i = 0; i < loads.size(); ++i) {
    std::printf("median:  %7.0f/s %s; %zu connections\n", median(rates[i]),
                loads[i]->what().c_str(), loads[i]->connections());
  }
}

}  // namespace

}  // namespace credits::bench

int main(int argc, char** argv) {
  credits::bench::Options options;
  CLI::App app{"Measures operations per second over HTTP, beside a no-op handler."};
  app.option_defaults()->always_capture_default();
  app.add_option("--traffic", options.traffic, "Traffic to send, in turns")
      ->check(CLI::IsMember({"nothing", "plan", "commit", "keyed", "reserve-settle", "batch"}));
  app.add_option("--seconds", options.seconds, "Length of each round");
  app.add_option("--rounds", options.rounds)->check(CLI::Range(1, 1'000));
  app.add_option("--connections", options.connections)->check(CLI::Range(1, 10'000));
  app.add_option("--installs", options.installs)->check(CLI::Range(1, 10'000'000));
  app.add_option("--batch-operations", options.batch_operations, "Operations per batch")
      ->check(CLI::Range(1, 8'192));
  app.add_option("--batch-connections", options.batch_connections)->check(CLI::Range(1, 1'000));
  app.add_flag("--fill", options.fills, "First commit once to each install");
  app.add_option("--directory", options.directory, "Directory on the disk to measure");
  CLI11_PARSE(app, argc, argv);
  credits::bench::run(options);
}
