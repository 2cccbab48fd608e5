// The server's limits and its shutdown, over real sockets.
#include "http/server/server.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <filesystem>
#include <future>
#include <mutex>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "tests/catch.hpp"
#include "tests/told.hpp"

namespace credits::http {
namespace {

using namespace credits::tests;
using namespace std::chrono_literals;

class Client {
 public:
  // `window_bytes`: how many bytes may be in transit to a client that does not read; 0: the
  // default.
  explicit Client(int port, int window_bytes = 0) : socket_{::socket(AF_INET, SOCK_STREAM, 0)} {
    if (window_bytes > 0) {
      ::setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &window_bytes, sizeof(window_bytes));
    }
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
    limit_waits();
  }
  explicit Client(const std::string& path) : socket_{::socket(AF_UNIX, SOCK_STREAM, 0)} {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, socket_path_bytes_max);
    REQUIRE(::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
    limit_waits();
  }
  ~Client() { ::close(socket_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void send(const std::string& text) { ::send(socket_, text.data(), text.size(), MSG_NOSIGNAL); }

  // Receives until `end` is in it, or the connection ends. A server that does neither fails the
  // test.
  std::string receive(const std::string& end) {
    while (received_.find(end) == std::string::npos) {
      const std::string part = receive_part(4096);
      if (part.empty()) break;
      received_ += part;
    }
    return std::exchange(received_, {});
  }

  // The last bytes before the end of the connection.
  std::string last_received() {
    std::string last;
    for (std::string part = receive_part(64 * 1024); !part.empty();
         part = receive_part(64 * 1024)) {
      last += part;
      if (last.size() > 100) last.erase(0, last.size() - 100);
    }
    return last;
  }

  // Waits for bytes, and returns those available; empty if the connection has ended.
  std::string receive_part(std::size_t bytes_max) {
    std::string part(bytes_max, '\0');
    const ssize_t got = ::recv(socket_, part.data(), part.size(), 0);
    is_reset_ = got < 0 && errno == ECONNRESET;
    if (got < 0 && !is_reset_) {
      FAIL("the server neither sent nor closed: " << std::strerror(errno));
    }
    part.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    return part;
  }

  // The last bytes received, up to `end` or the end of the connection.
  std::string last_received_with(const std::string& end) {
    std::string last;
    while (last.find(end) == std::string::npos) {
      const std::string part = receive_part(64 * 1024);
      if (part.empty()) break;
      last = last.substr(last.size() - std::min(last.size(), end.size())) + part;
    }
    return last;
  }

  // From here on, takes all bytes as fast as possible.
  void widen() {
    constexpr int bytes = 4 * 1024 * 1024;
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
  }

  std::string receive_to_end() { return receive("\xff"); }

  // Whether the connection has ended with a reset.
  bool was_reset() const { return is_reset_; }

  // That have come and have not been received.
  int bytes_waiting() const {
    int bytes = 0;
    ::ioctl(socket_, FIONREAD, &bytes);
    return bytes;
  }

  std::string get(const std::string& path) {
    send("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n");
    return receive("echo " + path);
  }

 private:
  void limit_waits() const {
    const timeval limit{10, 0};  // a test that fails must end
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  }

  int socket_;
  std::string received_;
  bool is_reset_ = false;
};

// Is answered when the test calls give().
class Later : public PendingAnswer {
 public:
  Later(std::shared_ptr<Listener> listener, std::chrono::milliseconds patience)
      : listener_{std::move(listener)}, deadline_{std::chrono::steady_clock::now() + patience} {}

  void give() {
    is_ready_ = true;
    listener_->ready();
  }

  bool is_ready() const override { return is_ready_; }
  std::chrono::steady_clock::time_point deadline() const override { return deadline_; }
  HttpResponse take() override {
    return is_ready_ ? HttpResponse{200, "text/plain", "echo /later"}
                     : HttpResponse{503, "text/plain", "echo too late"};
  }

 private:
  const std::shared_ptr<Listener> listener_;
  const std::chrono::steady_clock::time_point deadline_;
  std::atomic<bool> is_ready_{false};
};

// Is answered, but memory for the answer is missing.
class TooLarge : public PendingAnswer {
 public:
  bool is_ready() const override { return true; }
  std::chrono::steady_clock::time_point deadline() const override { return {}; }
  HttpResponse take() override { throw std::bad_alloc{}; }
};

// Answers `echo` and the target. /slow blocks until let_go(), and so does /held-up, on its loop's
// thread; /later and /much-later wait until they are given, and /gives gives the latter on its own
// loop's thread; /long is an endless stream, and /big is 16 MiB at once.
class Echo : public Service {
 public:
  explicit Echo(ServerOptions options = {}, std::size_t body_bytes_max = 1'000'000)
      : body_bytes_max_{body_bytes_max},
        server_{std::move(options), figures_, *this},
        port_{server_.start().front().port},
        thread_{[this] { server_.serve(); }} {}
  ~Echo() override {
    let_go();
    stop();
  }
  Echo(const Echo&) = delete;
  Echo& operator=(const Echo&) = delete;

  void stop() {
    server_.stop();
    if (thread_.joinable()) thread_.join();
  }

  void wait_for_slow() {
    std::unique_lock lock{mutex_};
    changed_.wait(lock, [this] { return is_waiting_; });
  }

  void let_go() {
    const std::lock_guard lock{mutex_};
    is_free_ = true;
    changed_.notify_all();
  }

  void wait_for_no_connection() const {
    while (figures_.connections > 0) std::this_thread::sleep_for(1ms);
  }

  int port() const { return port_; }

  Admission admit(const HttpRequest& request) override {
    const std::string_view target = request.target;
    if (target == "/no-memory") throw std::bad_alloc{};
    Admission admission;
    admission.body_bytes_max = body_bytes_max_;
    admission.is_prompt = !target.starts_with("/worker") && target != "/slow" &&
                          target != "/breaks" && target != "/long" && target != "/once";
    admission.is_body_budgeted = target != "/unbudgeted";
    return admission;
  }
  HttpResponse refuse(int status, std::string detail) override {
    if (refuses_without_memory_.exchange(false)) throw std::bad_alloc{};
    if (refuses_when_free_.exchange(false)) wait_until_free();
    return {status, "text/plain", "refused: " + detail};
  }
  HttpResponse failed(const std::exception& error) override {
    const std::lock_guard lock{mutex_};
    failures_ += std::string{error.what()} + " ";
    if (failures_.find("twice") != std::string::npos) throw std::bad_alloc{};
    return {500, "text/plain", std::string{"failed: "} + error.what()};
  }
  Begun begin(const HttpRequest& request, const Admission&,
              const std::shared_ptr<Listener>& listener) override {
    if (request.target == "/much-later") return much_later_ = begin_later(listener, 60s);
    if (request.target == "/too-large") return std::make_shared<TooLarge>();
    if (request.target == "/held-up") {
      wait_until_free();
      return begin_later(listener, 50ms);
    }
    if (request.target == "/gives" && much_later_) much_later_->give();
    if (request.target != "/later") return answer(request);
    const auto later = begin_later(listener, 1s);
    begun_.set_value(later);
    return later;
  }

  std::chrono::steady_clock::time_point last_slow_received_at() {
    const std::lock_guard lock{mutex_};
    return slow_received_at_;
  }

  // The request for /later, once it has arrived; at most one per echo.
  std::shared_ptr<Later> begun() { return begun_.get_future().get(); }

  // The first refusal from here on lacks memory, or waits until it is let go.
  void refuse_without_memory() { refuses_without_memory_ = true; }
  void refuse_when_free() { refuses_when_free_ = true; }

  // What was thrown, each with a blank after it.
  std::string failures() {
    const std::lock_guard lock{mutex_};
    return failures_;
  }

  ServerFigures& figures() { return figures_; }

  // Waits until /long or /breaks is broken off, and returns why; at most once per echo.
  std::string broken_off() { return broken_off_.get_future().get(); }

 private:
  static std::shared_ptr<Later> begin_later(const std::shared_ptr<Listener>& listener,
                                            std::chrono::milliseconds patience) {
    return std::make_shared<Later>(listener, patience);
  }

  void wait_until_free() {
    std::unique_lock lock{mutex_};
    is_waiting_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return is_free_; });
  }

  HttpResponse answer(const HttpRequest& request) {
    if (request.target == "/slow") {
      wait_until_free();
      const std::lock_guard lock{mutex_};
      slow_received_at_ = request.received_at;
    }
    if (request.target == "/throws") throw std::runtime_error{"handler"};
    if (request.target == "/worker-throws") throw std::runtime_error{"worker"};
    if (request.target == "/worker-throws-twice") throw std::runtime_error{"twice"};
    if (request.target == "/worker-lacks-memory") throw std::bad_alloc{};
    if (request.target == "/worker-stream-lacks-memory") {
      HttpResponse response;
      response.next_chunk = [](std::string&) -> bool { throw std::bad_alloc{}; };
      response.broken_off = [this](std::string_view why) {
        broken_off_.set_value(std::string{why});
      };
      return response;
    }
    if (request.target == "/once") {
      HttpResponse response;
      response.next_chunk = [](std::string& chunk) {
        chunk = std::string(big_bytes, 'x') + "echo /once";
        return false;
      };
      return response;
    }
    if (request.target == "/long") {
      HttpResponse response;
      const auto end = std::chrono::steady_clock::now() + 20s;  // for a test that fails
      response.next_chunk = [end](std::string& chunk) {
        chunk = std::string(64 * 1024, 'x');
        return std::chrono::steady_clock::now() < end;
      };
      response.broken_off = [this](std::string_view why) {
        broken_off_.set_value(std::string{why});
      };
      return response;
    }
    if (request.target == "/big") {
      return {200, "text/plain", std::string(big_bytes, 'x') + "echo /big"};
    }
    if (request.target == "/breaks") {
      HttpResponse response;
      response.next_chunk = [rounds = 0](std::string& chunk) mutable -> bool {
        if (++rounds == 3) throw std::runtime_error{"in mid-stream"};
        chunk = "part";
        return true;
      };
      response.broken_off = [this](std::string_view why) {
        broken_off_.set_value(std::string{why});
      };
      return response;
    }
    return {200, "text/plain", std::string{request.body} + "echo " + std::string{request.target}};
  }

  const std::size_t body_bytes_max_;
  static constexpr std::size_t big_bytes = 16 * 1024 * 1024;
  std::promise<std::shared_ptr<Later>> begun_;
  std::promise<std::string> broken_off_;
  std::shared_ptr<Later> much_later_;  // used by one loop's thread
  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_waiting_ = false;
  bool is_free_ = false;
  std::chrono::steady_clock::time_point slow_received_at_{};
  std::string failures_;
  std::atomic<bool> refuses_without_memory_{false};
  std::atomic<bool> refuses_when_free_{false};
  ServerFigures figures_;
  Server server_;
  int port_;
  std::thread thread_;
};

std::string socket_path() {
  return (std::filesystem::temp_directory_path() / ("server_test-" + std::to_string(::getpid())))
      .string();
}

TEST_CASE("a connection serves one request after the other") {
  Echo echo;
  Client client{echo.port()};
  for (const std::string path : {"/a", "/b", "/c"}) {
    check_tells(client.get(path), {"HTTP/1.1 200 OK", "echo " + path});
  }
}

const std::string later_request = "GET /later HTTP/1.1\r\nHost: x\r\n\r\n";

TEST_CASE("a slow answer holds up no other connection, and later answers on its own wait for it") {
  Echo echo;
  Client client{echo.port()};
  client.send(later_request + "GET /after HTTP/1.1\r\nHost: x\r\n\r\n");
  const auto later = echo.begun();
  check_tells(Client{echo.port()}.get("/other"), {"200 OK"});
  later->give();
  const std::string answers = client.receive("echo /after");
  check_tells(answers, {"HTTP/1.1 200 OK", "Keep-Alive: ", "echo /later", "echo /after"});
  CHECK(answers.find("/later") < answers.find("/after"));
}

TEST_CASE("a slow answer is sent, and its connection closed on request") {
  Echo echo;
  Client client{echo.port()};
  client.send("GET /later HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  echo.begun()->give();
  check_tells(client.receive_to_end(), {"200 OK", "Connection: close", "echo /later"});
}

TEST_CASE("an answer that does not come in time is given up, and its connection stays open") {
  Echo echo;
  Client client{echo.port()};
  client.send(later_request);
  const auto later = echo.begun();
  check_tells(client.receive("too late"), {"503 Service Unavailable"});
  later->give();
  check_tells(client.get("/after"), {"200 OK"});
}

TEST_CASE("an answer that a loop gives as it gives up another is sent at once") {
  Echo echo;
  Client patient{echo.port()};
  check_tells(patient.get("/a"), {"200 OK"});
  Client of_the_other_loop{echo.port()};
  check_tells(of_the_other_loop.get("/a"), {"200 OK"});
  Client impatient{echo.port()};
  impatient.send("GET /held-up HTTP/1.1\r\nHost: x\r\n\r\nGET /gives HTTP/1.1\r\nHost: x\r\n\r\n");
  echo.wait_for_slow();
  // Arrives before the loop next polls, and so before it gives anything up.
  patient.send("GET /much-later HTTP/1.1\r\nHost: x\r\n\r\n");
  echo.let_go();
  check_tells(impatient.receive("echo /gives"), {"echo too late", "echo /gives"});
  check_tells(patient.receive("echo /later"), {"200 OK", "echo /later"});
}

TEST_CASE("during the shutdown, a pending answer is sent and its connection closed") {
  Echo echo;
  Client client{echo.port()};
  client.send(later_request);
  const auto later = echo.begun();
  std::thread stopper{[&echo] { echo.stop(); }};
  std::thread giver{[&later] {
    std::this_thread::sleep_for(50ms);
    later->give();
  }};
  check_tells(client.receive_to_end(), {"200 OK", "Connection: close", "echo /later"});
  giver.join();
  stopper.join();
}

TEST_CASE("a client that leaves before its answer harms no one") {
  Echo echo;
  {
    Client client{echo.port()};
    client.send(later_request);
    echo.begun();
  }
  check_tells(Client{echo.port()}.get("/a"), {"200 OK"});
}

TEST_CASE("the target arrives as it was sent") {
  Echo echo;
  Client client{echo.port()};
  for (const std::string path : {"/a%2Fb?c=%20d+e", "/%2e%2e/x", "//x", "/a%00b"}) {
    check_tells(client.get(path), {"echo " + path});
  }
}

TEST_CASE("the maximum of connections is served at once, and the next one is refused") {
  Echo echo{{.connections_max = 20}};
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 20; ++i) {
    clients.push_back(std::make_unique<Client>(echo.port()));
    check_tells(clients.back()->get("/a"), {"200 OK"});
  }
  Client refused{echo.port()};
  check_tells(refused.receive_to_end(),
              {"503 Service Unavailable", "too many connections", "Connection: close"});
  for (auto& client : clients) check_tells(client->get("/b"), {"200 OK"});
  clients.pop_back();
  std::string answer;
  while (answer.find("200 OK") == std::string::npos) answer = Client{echo.port()}.get("/c");
}

TEST_CASE("a request that does not arrive in time ends its connection") {
  Echo echo{{.limits = {.request_timeout = 50ms}}};
  Client client{echo.port()};
  client.send("GET /a HTTP/1.1\r\nHost:");
  CHECK(client.receive_to_end().find("200 OK") == std::string::npos);
}

TEST_CASE("a silent connection ends") {
  Echo echo{{.limits = {.idle_timeout = 50ms}}};
  Client client{echo.port()};
  check_tells(client.get("/a"), {"200 OK"});
  CHECK(client.receive_to_end().empty());
}

TEST_CASE("endless headers are not read for ever") {
  Echo echo{{.limits = {.framing = {.head_bytes_max = 4'096}}}};
  Client client{echo.port()};
  client.send("GET /a HTTP/1.1\r\n");
  for (int i = 0; i < 100; ++i) client.send("X-Header: " + std::string(100, 'x') + "\r\n");
  client.send("\r\n");
  CHECK(client.receive_to_end().find("200 OK") == std::string::npos);
  check_tells(Client{echo.port()}.get("/a"), {"200 OK"});
}

TEST_CASE("a body over the limit is refused, announced or chunked") {
  Echo echo{{}, 1'000};
  const std::string head = "POST /a HTTP/1.1\r\nHost: x\r\n";
  const std::string at_limit(1'000, 'x');
  Client client{echo.port()};
  client.send(head + "Content-Length: 1000\r\n\r\n" + at_limit);
  check_tells(client.receive("echo /a"), {"200 OK", at_limit});
  client.send(head + "Content-Length: 1001\r\n\r\n" + at_limit + "x");
  check_tells(client.receive_to_end(), {"413 ", "1000 bytes"});
  Client chunked{echo.port()};
  chunked.send(head + "Transfer-Encoding: chunked\r\n\r\n3e9\r\n" + at_limit + "x\r\n0\r\n\r\n");
  check_tells(chunked.receive_to_end(), {"413 "});
  Client absurd{echo.port()};
  absurd.send(head + "Content-Length: 99999999999999999999\r\n\r\n");
  check_tells(absurd.receive_to_end(), {"413 "});
}

TEST_CASE("a chunked body is assembled") {
  Echo echo;
  Client client{echo.port()};
  client.send(
      "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
      "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
  check_tells(client.receive("echo /a"), {"200 OK", "abcdeecho /a"});
  check_tells(client.get("/b"), {"200 OK"});
}

TEST_CASE("a target over the limit is refused") {
  Echo echo{{.limits = {.framing = {.target_bytes_max = 100}}}};
  Client client{echo.port()};
  client.send("GET /" + std::string(100, 'a') + " HTTP/1.1\r\nHost: x\r\n\r\n");
  check_tells(client.receive_to_end(), {"414 "});
}

TEST_CASE("an unexpected body is not taken for the next request") {
  Echo echo;
  Client client{echo.port()};
  const std::string smuggled = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
  client.send("GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(smuggled.size()) +
              "\r\n\r\n" + smuggled);
  std::string answer = client.receive("echo /a");
  answer += client.get("/b");
  check_tells(answer, {"echo /a", "echo /b"});
  CHECK(answer.find("smuggled") == std::string::npos);
}

TEST_CASE("bytes that are not HTTP are refused, and the server carries on") {
  Echo echo;
  for (const std::string& garbage :
       {std::string{"\r\n \r\n"}, std::string{"hello\r\n\r\n"}, std::string(5'000, 'x'),
        std::string("\0\1\2\r\n\r\n", 7), std::string{"GET / HTTP/9.9\r\n\r\n"},
        std::string{"GET  HTTP/1.1\r\n\r\n"}}) {
    Client client{echo.port()};
    client.send(garbage + "\r\n\r\n");
    CHECK(client.receive_to_end().find("200 OK") == std::string::npos);
  }
  check_tells(Client{echo.port()}.get("/a"), {"200 OK"});
}

TEST_CASE("a handler that throws causes a 500, and the server carries on") {
  Echo echo;
  Client client{echo.port()};
  client.send("GET /throws HTTP/1.1\r\nHost: x\r\n\r\n");
  check_tells(client.receive("failed: handler"), {"500 "});
  client.send("GET /worker-throws HTTP/1.1\r\nHost: x\r\n\r\n");
  check_tells(client.receive("failed: worker"), {"500 "});
  check_tells(client.get("/a"), {"200 OK"});
  CHECK(echo.failures() == "handler worker ");
}

TEST_CASE("a worker that lacks memory ends the connection alone") {
  Echo echo;
  for (const std::string path : {"/worker-lacks-memory", "/worker-throws-twice"}) {
    Client client{echo.port()};
    client.send("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n");
    CHECK(client.receive_to_end().empty());
  }
  Client client{echo.port()};
  client.send("GET /worker-stream-lacks-memory HTTP/1.1\r\nHost: x\r\n\r\n");
  CHECK(client.receive_to_end().find("\r\n0\r\n\r\n") == std::string::npos);
  check_tells(echo.broken_off(), {"memory"});
  check_tells(Client{echo.port()}.get("/a"), {"200 OK"});
  CHECK(echo.figures().out_of_memory == 3);
}

TEST_CASE(
    "a stream that breaks ends without its last chunk, so that nobody takes it for a complete "
    "one") {
  Echo echo;
  Client client{echo.port()};
  client.send("GET /breaks HTTP/1.1\r\nHost: x\r\n\r\n");
  const std::string answer = client.receive_to_end();
  check_tells(answer, {"200 OK", "4\r\npart\r\n"});
  CHECK(answer.find("0\r\n\r\n") == std::string::npos);
  check_tells(echo.broken_off(), {"in mid-stream"});
}

TEST_CASE("the time of a call that waits for a worker counts from its complete request") {
  Echo echo{{.loops = 1, .workers = 1}};
  Client held{echo.port()};
  held.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
  echo.wait_for_slow();
  Client waiting{echo.port()};
  check_tells(waiting.get("/a"), {"200 OK"});
  Client later{echo.port()};
  check_tells(later.get("/a"), {"200 OK"});
  waiting.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
  check_tells(later.get("/b"), {"200 OK"});  // the loop has handled everything before
  const auto has_come = std::chrono::steady_clock::now();
  echo.let_go();
  check_tells(waiting.receive("echo /slow"), {"200 OK"});
  CHECK(echo.last_slow_received_at() <= has_come);
}

TEST_CASE("if memory for an answer is missing, its connection alone ends, without an answer") {
  Echo echo{{.loops = 1}};
  Client other{echo.port()};
  check_tells(other.get("/a"), {"200 OK"});
  Client client{echo.port()};
  client.send("GET /too-large HTTP/1.1\r\nHost: x\r\n\r\n");
  CHECK(client.receive_to_end().empty());
  check_tells(other.get("/b"), {"200 OK"});
}

TEST_CASE("a request that there is no memory for is 503, without a body for HEAD") {
  Echo echo;
  Client get{echo.port()};
  get.send("GET /no-memory HTTP/1.1\r\nHost: x\r\n\r\n");
  check_tells(get.receive_to_end(), {"503 ", "Connection: close", "no memory"});
  Client head{echo.port()};
  head.send("HEAD /no-memory HTTP/1.1\r\nHost: x\r\n\r\n");
  const std::string answer = head.receive_to_end();
  check_tells(answer, {"503 ", "Content-Length: "});
  CHECK(answer.ends_with("\r\n\r\n"));
}

TEST_CASE("a connection that there is no memory to refuse ends alone") {
  Echo echo{{.connections_max = 1}};
  Client client{echo.port()};
  check_tells(client.get("/a"), {"200 OK"});
  echo.refuse_without_memory();
  CHECK(Client{echo.port()}.receive_to_end().empty());
  check_tells(Client{echo.port()}.receive_to_end(), {"503 "});
  CHECK(echo.figures().out_of_memory == 1);
  check_tells(client.get("/b"), {"200 OK"});
}

TEST_CASE("a connection that is refused when its request has come ends without a reset") {
  const std::string path = socket_path();
  Echo echo{{.addresses = {{"127.0.0.1"}, {.socket_path = path}}, .connections_max = 1}};
  Client client{echo.port()};
  check_tells(client.get("/a"), {"200 OK"});
  echo.refuse_when_free();
  Client holding_up{echo.port()};
  echo.wait_for_slow();
  Client refused{path};
  refused.send("GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
  echo.let_go();
  check_tells(refused.receive_to_end(), {"503 "});
  CHECK_FALSE(refused.was_reset());
}

// What HTTP/1.0 gives has no other end than that of the connection.
TEST_CASE("a stream without chunks that is cut in its last piece ends with a reset") {
  Echo echo{{.limits = {.send_timeout = 100ms}}};
  Client client{echo.port(), 4096};
  client.send("GET /once HTTP/1.0\r\n\r\n");
  check_tells(client.receive("xxx"), {"200 OK"});
  echo.wait_for_no_connection();
  client.widen();
  CHECK(client.last_received().find("echo /once") == std::string::npos);
  CHECK(client.was_reset());
}

TEST_CASE("a stream without chunks that is sent whole ends in order") {
  Echo echo;
  Client client{echo.port()};
  client.send("GET /once HTTP/1.0\r\n\r\n");
  check_tells(client.last_received(), {"echo /once"});
  CHECK_FALSE(client.was_reset());
}

const std::string post_head = "POST /a HTTP/1.1\r\nHost: x\r\n";

TEST_CASE("a 100 Continue that finds no room is sent once there is some") {
  const std::string get = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";
  const std::string path = socket_path();
  Echo echo{{.addresses = {{"127.0.0.1"}, {.socket_path = path}}, .loops = 1}};
  const auto takes_answer = [&](Client& client) {
    const int before = client.bytes_waiting();
    client.send(get);
    for (int i = 0; i < 300 && client.bytes_waiting() == before; ++i) {
      std::this_thread::sleep_for(1ms);
    }
    return client.bytes_waiting() > before;
  };
  int answers = 0;
  for (Client client{path}; takes_answer(client);) ++answers;

  Client client{path};
  for (int i = 0; i < answers; ++i) REQUIRE(takes_answer(client));
  client.send(post_head + "Expect: 100-continue\r\nContent-Length: 4\r\n\r\n");
  check_tells(Client{echo.port()}.get("/a"), {"200 OK"});  // the loop has seen what arrived before
  check_tells(client.receive("100 Continue\r\n\r\n"), {"100 Continue"});
  client.send("body");
  check_tells(client.receive("echo /a"), {"bodyecho /a"});
}

TEST_CASE("requests that would take more memory together than there is for them are 503") {
  constexpr std::size_t body_bytes = 100'000;
  Echo echo{{.loops = 1, .limits = {.buffered_bytes_max = 2 * body_bytes}}};
  const std::string length = "Content-Length: " + std::to_string(body_bytes) + "\r\n\r\n";
  const std::string most(body_bytes - 1, 'x');
  std::vector<std::unique_ptr<Client>> clients;
  const auto send_most = [&] {
    clients.push_back(std::make_unique<Client>(echo.port()));
    clients.back()->send(post_head + length + most);
  };
  send_most();
  send_most();
  send_most();
  // One of them is refused, and gives back what it took.
  std::vector<std::string> answers;
  for (int i = 0; i < 10'000 && echo.figures().shed == 0; ++i) std::this_thread::sleep_for(1ms);
  for (auto& client : clients) client->send("x");
  for (auto& client : clients) answers.push_back(client->receive("echo /a"));
  CHECK(std::count_if(answers.begin(), answers.end(), [](const std::string& answer) {
          return answer.find("503 ") != std::string::npos;
        }) == 1);
  CHECK(echo.figures().shed == 1);
  check_tells(Client{echo.port()}.get("/b"), {"200 OK"});
  Client again{echo.port()};
  again.send(post_head + length + most + "x");
  check_tells(again.receive("echo /a"), {"200 OK"});
  Client unbudgeted{echo.port()};
  unbudgeted.send("POST /unbudgeted HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n" +
                  std::string(900'000, 'x'));
  check_tells(unbudgeted.receive("echo /unbudgeted"), {"200 OK"});
}

TEST_CASE("stopping ends idle connections and answers what is under way") {
  Echo echo;
  Client idle{echo.port()};
  check_tells(idle.get("/a"), {"200 OK"});
  Client busy{echo.port()};
  busy.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
  echo.wait_for_slow();
  std::thread stopper{[&echo] { echo.stop(); }};
  CHECK(idle.receive_to_end().empty());
  echo.let_go();
  check_tells(busy.receive_to_end(), {"200 OK", "echo /slow"});
  stopper.join();
}

TEST_CASE("stopping breaks off an answer that takes too long, although its client reads it") {
  Echo echo{{.limits = {.send_timeout = 300ms}}};
  Client client{echo.port()};
  client.send("GET /long HTTP/1.1\r\nHost: x\r\n\r\n");
  check_tells(client.receive("xxx"), {"200 OK"});
  std::thread stopper{[&echo] { echo.stop(); }};
  CHECK(client.last_received().find("\r\n0\r\n\r\n") == std::string::npos);
  stopper.join();
}

TEST_CASE("an answer that is taken slowly and steadily is sent completely") {
  Echo echo{{.limits = {.send_timeout = 3s}}};
  Client client{echo.port(), 4096};
  client.send("GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
  const auto end = std::chrono::steady_clock::now() + 5s;
  while (std::chrono::steady_clock::now() < end) {  // a third of the socket's buffer takes longer
    client.receive_part(4096);
    std::this_thread::sleep_for(50ms);
  }
  client.widen();
  check_tells(client.last_received_with("echo /big"), {"echo /big"});
}

TEST_CASE("a client that takes nothing is cut off, and the reason is reported") {
  Echo echo{{.limits = {.send_timeout = 100ms}}};
  Client client{echo.port(), 4096};
  client.send("GET /long HTTP/1.1\r\nHost: x\r\n\r\n");
  check_tells(echo.broken_off(), {"took nothing"});
  CHECK(client.last_received().find("\r\n0\r\n\r\n") == std::string::npos);
}

TEST_CASE("a client that leaves during its answer is reported") {
  Echo echo;
  {
    Client client{echo.port(), 4096};
    client.send("GET /long HTTP/1.1\r\nHost: x\r\n\r\n");
    check_tells(client.receive("xxx"), {"200 OK"});
  }
  check_tells(echo.broken_off(), {"has gone"});
}

TEST_CASE("a client that takes steadily is limited in total time") {
  Echo echo{{.limits = {.send_total_timeout = 500ms}}};
  Client client{echo.port()};
  client.send("GET /long HTTP/1.1\r\nHost: x\r\n\r\n");
  CHECK(client.last_received().find("\r\n0\r\n\r\n") == std::string::npos);
  check_tells(echo.broken_off(), {"too long for the whole answer"});
}

TEST_CASE("an answer of a loop that takes too long in total is broken off") {
  Echo echo{{.limits = {.send_total_timeout = 100ms}}};
  Client client{echo.port(), 4096};
  client.send("GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
  check_tells(client.receive("xxx"), {"200 OK"});
  echo.wait_for_no_connection();
  client.widen();
  CHECK(client.last_received().find("echo /big") == std::string::npos);
}

TEST_CASE("stopping breaks off a loop's answer to a slow client") {
  Echo echo{{.limits = {.send_timeout = 300ms}}};
  Client client{echo.port(), 4096};
  client.send("GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
  check_tells(client.receive("xxx"), {"200 OK"});
  echo.stop();
  client.widen();
  CHECK(client.last_received().find("echo /big") == std::string::npos);
}

TEST_CASE("a request that arrives during the shutdown is answered, with Connection: close") {
  Echo echo{{.limits = {.end_grace = 30s}}};
  Client client{echo.port()};
  check_tells(client.get("/a"), {"200 OK"});
  std::thread stopper{[&echo] { echo.stop(); }};
  std::string answer;
  do {
    answer = client.get("/a");
    check_tells(answer, {"200 OK"});
  } while (answer.find("200 OK") != std::string::npos &&
           answer.find("Connection: close") == std::string::npos);
  CHECK(client.receive_to_end().empty());
  stopper.join();
}

TEST_CASE("one server serves all addresses, and counts their connections together") {
  const std::string path = socket_path();
  {
    Echo echo{{.addresses = {{"127.0.0.1"}, {.socket_path = path}, {"127.0.0.2"}},
               .socket_mode = 0600,
               .connections_max = 2}};
    Client tcp{echo.port()};
    Client local{path};
    for (Client* client : {&tcp, &local, &tcp}) check_tells(client->get("/a"), {"200 OK"});
    CHECK(std::filesystem::status(path).permissions() == std::filesystem::perms{0600});
    Client refused{path};
    check_tells(refused.receive_to_end(), {"503 Service Unavailable"});
  }
  CHECK_FALSE(std::filesystem::exists(path));
}

TEST_CASE("a server that cannot listen on one of its addresses releases the others") {
  const std::string path = socket_path();
  Echo echo;
  ServerFigures figures;
  {
    Server second{
        {.addresses = {{.socket_path = path}, {"127.0.0.1", echo.port()}}}, figures, echo};
    CHECK_THROWS_AS(second.start(), std::runtime_error);
  }
  CHECK_FALSE(std::filesystem::exists(path));
}

bool is_open(int descriptor) { return ::fcntl(descriptor, F_GETFD) >= 0; }

// While it lives, this process can open only `count` more files.
class OpenFilesLeft {
 public:
  explicit OpenFilesLeft(std::size_t count) {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    rlimit limit = before_;
    limit.rlim_cur = 0;
    while (count > 0 || is_open(static_cast<int>(limit.rlim_cur))) {
      if (!is_open(static_cast<int>(limit.rlim_cur++))) --count;
    }
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
  }
  ~OpenFilesLeft() { ::setrlimit(RLIMIT_NOFILE, &before_); }
  OpenFilesLeft(const OpenFilesLeft&) = delete;
  OpenFilesLeft& operator=(const OpenFilesLeft&) = delete;

 private:
  rlimit before_{};
};

std::size_t open_files() {
  std::size_t count = 0;
  for (int descriptor = 0; descriptor < 1'000; ++descriptor) count += is_open(descriptor) ? 1 : 0;
  return count;
}

TEST_CASE("a server that finds too few files for its loops does not start, and keeps none") {
  Echo echo;
  ServerFigures figures;
  const ServerOptions options{.loops = 3};
  const std::size_t before = open_files();
  for (std::size_t left = 1; left <= descriptors_of(options); ++left) {
    const OpenFilesLeft limit{left};
    Server server{options, figures, echo};
    if (left == descriptors_of(options)) {
      CHECK_NOTHROW(server.start());
    } else {
      CHECK_THROWS_AS(server.start(), std::runtime_error);
    }
  }
  CHECK(open_files() == before);
}

TEST_CASE("a server that is stopped before it serves does not serve") {
  Echo echo;
  ServerFigures figures;
  Server server{{}, figures, echo};
  server.stop();
  server.start();
  server.serve();
}

TEST_CASE("an address in use is named") {
  Echo echo;
  ServerFigures figures;
  Server second{{.addresses = {{"127.0.0.1", echo.port()}}}, figures, echo};
  check_tells(told_by<std::runtime_error>([&] { second.start(); }),
              {"127.0.0.1:" + std::to_string(echo.port()), "--listen"});
}

}  // namespace
}  // namespace credits::http
