#include "http/server.hpp"

#include <httplib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <system_error>
#include <utility>
#include <vector>

#include "http/connection.hpp"
#include "http/connection_threads.hpp"
#include "http/event_loop.hpp"
#include "http/plain_request.hpp"
#include "http/problem.hpp"
#include "http/raw_headers.hpp"
#include "http/text.hpp"

namespace credits::http {

namespace {

constexpr std::string_view json_type = "application/json";

// The greatest body that any call takes.
constexpr std::size_t body_bytes_limit = std::size_t{1} << 30U;

// How many bytes a body may be sent in: chunks of one byte take six.
constexpr std::size_t raw_bytes_for_each = 8;
constexpr std::size_t raw_bytes_spare = 64 * 1024;

constexpr int continue_status = 100;

constexpr std::size_t loops_max = 2;

constexpr std::chrono::seconds idle_spare{5};
constexpr std::size_t requests_announced = 1'000'000;

// One value, or several as one that nobody means; nothing if the header is not there.
std::optional<std::string> joined(const std::vector<std::string>& values) {
  if (values.empty()) return std::nullopt;
  std::string text = values.front();
  for (std::size_t i = 1; i < values.size(); ++i) text += ", " + values[i];
  return text;
}

// What the request being read on this thread has told about its connection.
struct Exchange {
  bool close_after = false;
  bool takes_chunks = true;  // HTTP/1.0 does not
  RawHeaders headers{};
  HttpRequest message{};  // without its body
  std::size_t body_bytes_max = 0;
  std::function<HttpResponse()> refuse_body{};
  std::function<void(std::string_view why)> broken_off{};
  Connection* connection = nullptr;
  std::shared_ptr<Listener> listener{};  // none: this thread may wait for the answer
  std::optional<HttpResponse> done{};    // on an event loop: the answer
  std::shared_ptr<Ongoing> ongoing{};    // the answer is still to come
  bool head_only = false;
};

thread_local Exchange exchange;

void stream(const std::function<bool(std::string&)>& next_chunk, httplib::Response& out,
            const std::string& content_type) {
  const auto provide = [next_chunk](std::size_t, httplib::DataSink& sink) {
    std::string chunk;
    try {
      const bool more = next_chunk(chunk);
      if (!chunk.empty() && !sink.write(chunk.data(), chunk.size())) return false;
      if (!more) sink.done();
      return true;
    } catch (const std::exception&) {
      return false;
    }
  };
  if (exchange.takes_chunks) {
    out.set_chunked_content_provider(content_type, provide);
  } else {
    exchange.close_after = true;  // the end of the connection is the end of the body
    out.set_content_provider(content_type, provide);
  }
}

void send(HttpResponse response, httplib::Response& out) {
  if (exchange.listener) {
    exchange.done = std::move(response);
    return;
  }
  out.status = response.status;
  for (const auto& [name, value] : response.headers) out.set_header(name.c_str(), value);
  if (response.next_chunk) {
    exchange.broken_off = std::move(response.broken_off);
    stream(response.next_chunk, out, response.content_type);
  } else {
    out.set_content(response.body, response.content_type.c_str());
  }
}

bool takes_body(const std::string& method) {
  return method == "POST" || method == "PUT" || method == "PATCH" || method == "DELETE";
}

// A connection that counts as open as long as it lives.
class CountedConnection : public Connection {
 public:
  template <class... Args>
  explicit CountedConnection(std::atomic<std::int64_t>& count, Args&&... args)
      : Connection{std::forward<Args>(args)...}, count_{count} {
    ++count_;
  }
  ~CountedConnection() override { --count_; }
  CountedConnection(const CountedConnection&) = delete;
  CountedConnection& operator=(const CountedConnection&) = delete;

 private:
  std::atomic<std::int64_t>& count_;
};

// The library knows but one spelling of `Connection: close`, and one of what keeps HTTP/1.0.
void obey_close(httplib::Request& request) {
  const bool is_kept =
      request.version != "HTTP/1.0" || request.get_header_value("Connection") == "Keep-Alive";
  if (is_kept && !exchange.headers.closes) return;
  exchange.close_after = true;
  request.headers.erase("Connection");
  request.set_header("Connection", "close");
}

bool is_json(std::string_view content_type) {
  return equal_without_case(trimmed(content_type.substr(0, content_type.find(';'))), json_type);
}

}  // namespace

// The library's accepting thread does each task itself: a connection is only given away.
class AcceptingThread : public httplib::TaskQueue {
 public:
  explicit AcceptingThread(std::function<void()> end_all) : end_all_{std::move(end_all)} {}

  // The library changed this result from nothing to bool between Debian 12 and 13.
  using Enqueued = decltype(std::declval<httplib::TaskQueue&>().enqueue(std::function<void()>{}));

  Enqueued enqueue(std::function<void()> task) override {
    task();
    return static_cast<Enqueued>(true);
  }

  void shutdown() override { end_all_(); }

 private:
  const std::function<void()> end_all_;
};

const char* reason_of(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 402:
      return "Payment Required";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 409:
      return "Conflict";
    case 410:
      return "Gone";
    case 413:
      return "Payload Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 422:
      return "Unprocessable Entity";
    case 429:
      return "Too Many Requests";
    case 500:
      return "Internal Server Error";
    case 503:
      return "Service Unavailable";
    default:
      return "";  // which is allowed
  }
}

class Server::Impl : public httplib::Server, public LoopOwner {
 public:
  Impl(ServerOptions server_options, HttpFigures& figures, Service& service)
      : options_{std::move(server_options)},
        figures_{figures},
        service_{service},
        limits_{options_.idle_timeout,       options_.request_timeout, options_.send_timeout,
                options_.send_total_timeout, options_.head_bytes_max,  options_.end_grace} {
    new_task_queue = [this] { return new AcceptingThread{[this] { end_all(); }}; };
    set_payload_max_length(body_bytes_limit);
    // Both are only announced, in the Keep-Alive header: process_and_close_socket() decides.
    set_keep_alive_timeout(announced_idle_seconds());
    set_keep_alive_max_count(requests_announced);
    set_tcp_nodelay(true);
    set_socket_options([](socket_t socket) {
      // The library's SO_REUSEPORT would let two servers share a port without a word.
      const int on = 1;
      ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    });
    set_pre_routing_handler([this](const httplib::Request& request, httplib::Response& response) {
      return answer_without_body(request, response);
    });
    const HandlerWithContentReader with_body =
        [this](const httplib::Request&, httplib::Response& response,
               const httplib::ContentReader& content) { answer(response, content); };
    Post(only_path, with_body);
    Put(only_path, with_body);
    Patch(only_path, with_body);
    Delete(only_path, with_body);
    set_error_handler(Handler{[this](const httplib::Request&, httplib::Response& response) {
      if (response.body.empty()) refuse(problem_of_status(response.status), response);
    }});
    set_expect_100_continue_handler(
        [this](const httplib::Request& request, httplib::Response& response) {
          return admit(request, response) ? continue_status : response.status;
        });
    set_exception_handler(
        [this](const httplib::Request&, httplib::Response& response, const std::exception_ptr&) {
          refuse(internal_error(), response);
        });
    set_post_routing_handler([](const httplib::Request&, httplib::Response& response) {
      if (exchange.listener) return response.headers.clear();
      if (!exchange.close_after) return;
      response.headers.erase("Connection");
      response.headers.erase("Keep-Alive");
      response.set_header("Connection", "close");
    });
  }

  ~Impl() override { ::close(end_event_); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  int bind() {
    const int port = options_.port == 0                           ? bind_to_any_port(options_.host)
                     : bind_to_port(options_.host, options_.port) ? options_.port
                                                                  : -1;
    if (port > 0) {
      ::listen(svr_sock_, SOMAXCONN);  // the library asks for 5
      return port;
    }
    throw std::runtime_error{"cannot listen on " + options_.host + ":" +
                             std::to_string(options_.port) + ": " + std::strerror(errno) +
                             "; choose another address with --listen"};
  }

  void serve() {
    for (std::size_t i = 0; i < loops_max; ++i) {
      loops_.push_back(std::make_unique<EventLoop>(*this, limits_));
    }
    listen_after_bind();
    if (!stop_requested_) throw std::runtime_error{"the listening socket failed"};
  }

  // The library's own stop() does nothing before serve() has come to its loop. A socket that is
  // shut down fails at the next accept, whenever that is.
  void request_stop() {
    if (stop_requested_.exchange(true)) return;
    ::shutdown(svr_sock_, SHUT_RDWR);
  }

 private:
  // Every request is routed by its target in http/api; the library's regular expressions see this.
  static constexpr const char* only_path = "/";

  // Called by the library's accepting thread.
  bool process_and_close_socket(socket_t socket) override {
    if (figures_.connections >= static_cast<std::int64_t>(options_.connections_max)) {
      shed(socket);
      return false;
    }
    TlsSession tls_session;
    if (options_.tls && !(tls_session = options_.tls->begin(socket))) {
      ::close(socket);
      return false;
    }
    auto connection = std::make_unique<CountedConnection>(figures_.connections, socket, limits_,
                                                          end_event_, std::move(tls_session));
    if (options_.tls) {
      on_thread(std::move(connection), [this](std::unique_ptr<Connection> own) {
        if (own->shake_hands()) serve_tls(*own);
      });
    } else {
      next_loop().adopt(std::move(connection));
    }
    return true;
  }

  // Less than is kept, so that no client sends a request just as its connection is closed.
  std::chrono::seconds::rep announced_idle_seconds() const {
    const auto spare = std::min<std::chrono::milliseconds>(idle_spare, limits_.idle_timeout / 2);
    return std::chrono::floor<std::chrono::seconds>(limits_.idle_timeout - spare).count();
  }

  EventLoop& next_loop() { return *loops_[next_loop_++ % loops_.size()]; }

  template <class Work>
  void on_thread(std::unique_ptr<Connection> connection, Work work) {
    const auto shared = std::make_shared<std::unique_ptr<Connection>>(std::move(connection));
    try {
      threads_.run([shared, work] { work(std::move(*shared)); });
    } catch (const std::system_error&) {
      ++figures_.shed;  // no thread can be had: the connection ends
    }
  }

  void serve_tls(Connection& connection) {
    while (connection.wait_for_request() && process_here(connection)) {
    }
    // Bytes that nobody has read would make the kernel reset the connection, answer and all.
    if (exchange.close_after) connection.finish();
  }

  // Answers what has come, in part or whole, and gives the connection back to a loop.
  void serve_for_once(std::unique_ptr<Connection> connection) {
    do {
      if (!connection->wait_for_request()) return;
      if (process_here(*connection)) continue;
      if (exchange.close_after) connection->finish();
      return;
    } while (!connection->unread().empty());
    next_loop().adopt(std::move(connection));
  }

  // On a thread that can wait. Returns whether the connection goes on.
  bool process_here(Connection& connection) {
    const Processed processed = process(connection, nullptr);
    const bool is_sent = connection.flush();
    if (!is_sent && exchange.broken_off) exchange.broken_off(connection.send_fault());
    return is_sent && processed.goes_on;
  }

  bool can_be_prompt(std::string_view unread) const override {
    const auto request = plain_request(unread);
    return request && service_.is_prompt(request->method, request->target);
  }

  void hand_over(std::unique_ptr<Connection> connection) override {
    on_thread(std::move(connection),
              [this](std::unique_ptr<Connection> own) { serve_for_once(std::move(own)); });
  }

  void finish(std::unique_ptr<Connection> connection) override {
    on_thread(std::move(connection), [](const std::unique_ptr<Connection>& own) { own->finish(); });
  }

  Processed process(Connection& connection, const std::shared_ptr<Listener>& listener) override {
    exchange = {};
    exchange.listener = listener;
    bool client_closes = false;
    const bool answered = process_request_of(
        *this, connection, client_closes, [&connection](httplib::Request& request) {
          connection.begin_body(0);
          exchange.connection = &connection;
          exchange.headers = raw_headers(connection.head());
          request.path = only_path;
          exchange.takes_chunks = request.version != "HTTP/1.0";
          exchange.head_only = request.method == "HEAD";
          obey_close(request);
          // A body that nobody will read must not be taken for the next request.
          if (!takes_body(request.method) && exchange.headers.announce_body()) {
            exchange.close_after = true;
          }
        });
    const bool goes_on = answered && !client_closes && !exchange.close_after && !stopping_;
    exchange.listener = nullptr;
    return {goes_on, std::exchange(exchange.done, std::nullopt),
            std::exchange(exchange.ongoing, nullptr), exchange.head_only};
  }

  // The library wants to be told the addresses of both ends on Debian 13, and not on Debian 12.
  template <class Self>
  static bool process_request_of(Self& self, Connection& connection, bool& client_closes,
                                 const std::function<void(httplib::Request&)>& set_up) {
    // What the library writes on an event loop is thrown away: this is the shortest.
    const bool closes = self.stopping_ || exchange.listener;
    if constexpr (requires { self.process_request(connection, closes, client_closes, set_up); }) {
      return self.process_request(connection, closes, client_closes, set_up);
    } else {
      return self.process_request(connection, "", 0, "", 0, closes, client_closes, set_up);
    }
  }

  // Over TLS there would have to be a handshake first, for which this thread has no time.
  void shed(socket_t socket) {
    ++figures_.shed;
    Connection connection{socket, limits_, end_event_};
    if (options_.tls) return;
    const std::string text = text_of(to_response(overloaded("there are too many connections")), {});
    connection.write(text.data(), text.size());
    connection.flush();
  }

  // As the library writes it, which can write none that comes later.
  std::string text_of(const HttpResponse& response, const Processed& processed) const override {
    std::string text =
        "HTTP/1.1 " + std::to_string(response.status) + " " + reason_of(response.status) + "\r\n";
    const auto add = [&text](std::string_view name, std::string_view value) {
      text.append(name).append(": ").append(value).append("\r\n");
    };
    if (processed.goes_on) {
      add("Keep-Alive", keep_alive_);
    } else {
      add("Connection", "close");
    }
    add("Content-Type", response.content_type);
    add("Content-Length", std::to_string(response.body.size()));
    for (const auto& [name, value] : response.headers) add(name, value);
    text += "\r\n";
    if (!processed.head_only) text += response.body;
    return text;
  }

  HandlerResponse answer_without_body(const httplib::Request& request,
                                      httplib::Response& response) {
    if (!admit(request, response)) return HandlerResponse::Handled;
    if (takes_body(request.method)) return HandlerResponse::Unhandled;
    respond(exchange.message, response);
    return HandlerResponse::Handled;
  }

  // Whether the request goes on; if not, it is answered. What follows of it has its limits then.
  bool admit(const httplib::Request& request, httplib::Response& response) {
    if (const auto problem = problem_of_head(request)) {
      refuse(*problem, response);
      return false;
    }
    exchange.message = to_message(request);
    Admission admission = service_.admit(exchange.message);
    if (admission.refusal) {
      if (exchange.headers.announce_body()) exchange.close_after = true;
      send(*std::move(admission.refusal), response);
      return false;
    }
    exchange.body_bytes_max = admission.body_bytes_max;
    exchange.refuse_body = std::move(admission.refuse_body);
    exchange.connection->begin_body(admission.body_bytes_max * raw_bytes_for_each +
                                    raw_bytes_spare);
    if (admission.request_timeout) exchange.connection->allow(*admission.request_timeout);
    return true;
  }

  std::optional<Problem> problem_of_head(const httplib::Request& request) const {
    if (exchange.headers.fault) return bad_request(exchange.headers.fault);
    if (request.target.size() > options_.target_bytes_max) {
      return uri_too_long(options_.target_bytes_max);
    }
    if (exchange.headers.hosts.size() > 1) return bad_request("Host is given twice");
    for (const std::string_view encoding : exchange.headers.transfer_encodings) {
      if (equal_without_case(encoding, "chunked")) continue;
      return bad_request("Transfer-Encoding \"" + printable(encoding) + "\" is not chunked");
    }
    return std::nullopt;
  }

  static HttpRequest to_message(const httplib::Request& request) {
    RawHeaders& headers = exchange.headers;
    return {request.method,
            request.target,
            {},
            std::move(headers.idempotency_keys),
            {std::move(headers.authorization), joined(headers.hosts), joined(headers.origins),
             joined(headers.fetch_sites), headers.may_be_browser()}};
  }

  void answer(httplib::Response& response, const httplib::ContentReader& content) {
    std::string body;
    if (exchange.headers.announce_body()) {
      if (const auto problem = problem_of_announced()) return refuse(*problem, response);
      if (exchange.refuse_body) {
        exchange.close_after = true;
        return send(exchange.refuse_body(), response);
      }
      if (!read(content, body)) {
        // Debian 13's library keeps to the limit itself, and says so.
        const bool too_large = body.size() > exchange.body_bytes_max || response.status == 413;
        return refuse(too_large ? payload_too_large(exchange.body_bytes_max)
                                : bad_request("the body is cut short, or not encoded as announced"),
                      response);
      }
    }
    exchange.message.body = body;
    respond(exchange.message, response);
  }

  void respond(const HttpRequest& request, httplib::Response& response) {
    if (!exchange.listener) return send(answer_of(service_, request), response);
    Service::Begun begun = service_.begin(request, exchange.listener);
    if (auto* done = std::get_if<HttpResponse>(&begun)) return send(std::move(*done), response);
    exchange.ongoing = std::get<std::shared_ptr<Ongoing>>(std::move(begun));
  }

  // What is wrong with a body before it is read.
  std::optional<Problem> problem_of_announced() const {
    const RawHeaders& headers = exchange.headers;
    if (headers.content_lengths.size() > 1) return bad_request("Content-Length is given twice");
    if (!headers.content_lengths.empty()) {
      const std::string_view text = headers.content_lengths.front();
      const char* const end = text.data() + text.size();
      std::uint64_t length = 0;
      const auto [parsed_to, error] = std::from_chars(text.data(), end, length);
      if (error == std::errc::result_out_of_range || length > exchange.body_bytes_max) {
        return payload_too_large(exchange.body_bytes_max);
      }
      if (error != std::errc{} || parsed_to != end) {
        return bad_request("Content-Length is not a number");
      }
    }
    if (headers.content_types.empty() || is_json(headers.content_types.front())) {
      return std::nullopt;
    }
    return unsupported_media_type(std::string{headers.content_types.front()});
  }

  bool read(const httplib::ContentReader& content, std::string& body) const {
    return content([&](const char* data, std::size_t size) {
      body.append(data, size);
      return body.size() <= exchange.body_bytes_max;
    });
  }

  // What is left of the request is not read, so the connection ends with it.
  void refuse(const Problem& problem, httplib::Response& response) {
    figures_.problems.count(problem.code);
    exchange.close_after = true;
    send(to_response(problem), response);
  }

  void end_all() {
    stopping_ = true;
    ::eventfd_write(end_event_, 1);
    for (const auto& loop : loops_) loop->end();
    for (const auto& loop : loops_) loop->join();
    threads_.shut_down();
    loops_.clear();
  }

  const ServerOptions options_;
  HttpFigures& figures_;
  Service& service_;
  const ConnectionLimits limits_;
  const int end_event_ = ::eventfd(0, EFD_CLOEXEC);  // readable: connections are to end
  const std::string keep_alive_ = "timeout=" + std::to_string(announced_idle_seconds()) +
                                  ", max=" + std::to_string(requests_announced);
  ConnectionThreads threads_;
  std::vector<std::unique_ptr<EventLoop>> loops_;
  std::atomic<std::size_t> next_loop_{0};
  std::atomic<bool> stopping_{false};        // connections are to end
  std::atomic<bool> stop_requested_{false};  // none is to be accepted any more
};

Server::Server(ServerOptions options, HttpFigures& figures, Service& service)
    : impl_{std::make_unique<Impl>(std::move(options), figures, service)} {}

Server::~Server() = default;

int Server::bind() { return impl_->bind(); }

void Server::serve() { impl_->serve(); }

void Server::stop() { impl_->request_stop(); }

}  // namespace credits::http
