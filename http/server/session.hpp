// One connection's requests and answers, from the handshake to the end: bytes → framer → head →
// route and access → body → operation → answer. Belongs to an event loop's thread and never blocks:
// it states what it waits for, and the loop resumes it when that has arrived.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "http/server/answer_text.hpp"
#include "http/server/byte_budget.hpp"
#include "http/server/compression.hpp"
#include "http/server/connection.hpp"
#include "http/server/figures.hpp"
#include "http/server/framer.hpp"
#include "http/server/service.hpp"
#include "http/server/worker_pool.hpp"

namespace credits::http {

struct SessionLimits {
  FramingLimits framing{};
  // Request bytes in memory, of all connections; beyond, 503. See Admission::is_body_budgeted.
  std::size_t buffered_bytes_max = 512UL * 1'024 * 1'024;
  std::chrono::milliseconds idle_timeout{60'000};     // between two requests
  std::chrono::milliseconds request_timeout{30'000};  // from a request's first byte to its last
  std::chrono::milliseconds send_timeout{10'000};     // in which the client must take some byte
  // For the whole answer, even if the client keeps taking bytes.
  std::chrono::milliseconds send_total_timeout{3'600'000};
  std::chrono::milliseconds linger_timeout{1'000};  // for the client to notice the end
  std::chrono::milliseconds end_grace{100};         // during the shutdown, for a request on its way

  // Shorter than idle_timeout, so that no client sends a request just as its connection is closed.
  std::chrono::seconds announced_idle_time() const {
    const auto spare =
        std::min<std::chrono::milliseconds>(std::chrono::seconds{5}, idle_timeout / 2);
    return std::chrono::floor<std::chrono::seconds>(idle_timeout - spare);
  }
};

// A worker's result for a session: an answer, or a piece of one.
struct Work {
  std::optional<HttpResponse> response{};
  std::string chunk{};
  bool is_last = false;
  std::optional<std::string> fault{};  // why there is no piece
  bool is_out_of_memory = false;       // for either
};

// How other threads reach a session.
class SessionLink : public Listener {
 public:
  virtual void done(Work work) = 0;
};

// Shared by the sessions of a loop.
struct SessionContext {
  const SessionLimits& limits;
  Service& service;
  ServerFigures& figures;
  WorkerPool& workers;
  ByteBudget& budget;      // for request bytes
  std::span<char> buffer;  // for bytes just received
  std::string date;        // the current value of the Date header
  std::chrono::steady_clock::time_point now;
  bool is_ending = false;
};

class Session {
 public:
  // What the session waits for. All sessions in a phase have the same time limit.
  enum class Phase : std::uint8_t {
    handshaking,
    idle,          // the first byte of a request
    reading,       // the rest of it
    reading_long,  // the same, for a call with a longer limit
    answering,     // the service's answer
    sending,       // the client to take some bytes
    lingering,     // the client to notice the end
    working,       // a worker, without a limit
    closed,        // nothing
  };
  static constexpr std::size_t phases = static_cast<std::size_t>(Phase::closed) + 1;
  // Comparisons rely on this order.
  static_assert(Phase::handshaking < Phase::idle && Phase::idle < Phase::reading &&
                Phase::reading < Phase::reading_long && Phase::reading_long < Phase::answering &&
                Phase::lingering < Phase::working && Phase::working < Phase::closed);

  Session(std::unique_ptr<Connection> connection, SessionContext& context,
          std::shared_ptr<SessionLink> link);

  Phase phase() const { return phase_; }
  std::chrono::steady_clock::time_point deadline() const { return deadline_; }
  int descriptor() const { return connection_->descriptor(); }
  // Whether there is more to do: call advance() again after the others' turn.
  bool has_more() const { return has_more_; }
  // TLS may have to write before it can read, and vice versa.
  bool is_secure() const { return connection_->is_secure(); }

  // Call when the socket may be readable or writable.
  void advance(bool may_have_input, bool client_has_ended = false);
  void answer_is_ready();
  void work_is_done(Work work);
  void deadline_has_passed();
  // Call after one of the above threw std::bad_alloc: a request that has not begun is answered with
  // 503, and the connection ends.
  void out_of_memory();
  // Begins the shutdown: requests on their way are still answered.
  void end_soon();

 private:
  void enter(Phase phase, std::chrono::milliseconds time);
  void close();

  // Each returns whether there may be more to do at once.
  bool handshake();
  bool read();
  bool send();
  bool linger();

  bool end_of_input();
  bool take_room();
  RequestFault fault_of_room() const;
  void take(std::string_view bytes);
  void admit();
  std::optional<RequestFault> fault_of_body() const;
  void begin();
  std::optional<RequestFault> read_body();
  std::optional<RequestFault> unpack_body();
  Service::Begun begin_or_fail();
  void begin_work();
  Work work_on_answer();
  Work work_on_chunk();
  HttpResponse work_on_request();
  HttpResponse shed(const char* reason) const;
  HttpResponse refusal_of(const RequestFault& fault) const;
  void take_answer();
  void answer(HttpResponse response);
  bool is_reading() const;
  bool takes_chunks() const;
  bool ends_with_answer() const;
  void write_part(std::string_view part, bool is_last);
  void refuse(const RequestFault& fault);
  RequestFault fault_of_framing() const;
  void ask_for_chunk();
  std::chrono::milliseconds progress_interval() const;
  void expect_progress();
  // Why sending must be given up; nullopt if it may go on.
  std::optional<std::string_view> fault_of_sending();
  void break_off(std::string_view why);
  // Destroying a stream may take a while, so a worker does it.
  void discard_stream();
  void finish_answer();

  SessionContext& context_;
  const std::unique_ptr<Connection> connection_;
  const std::shared_ptr<SessionLink> link_;
  Phase phase_ = Phase::handshaking;
  std::chrono::steady_clock::time_point deadline_{};
  bool has_more_ = false;
  bool may_have_input_ = true;
  bool client_has_ended_ = false;  // the client sends no more; bytes before its end may be unread
  Framer framer_;
  std::string unread_;  // received after the request that is being answered
  ByteShare share_;
  HttpRequest request_{};
  Admission admission_{};
  std::shared_ptr<PendingAnswer> pending_{};
  bool keeps_alive_ = true;
  // Whether the end of the connection marks the end of the body, which only a reset can show to be
  // incomplete.
  bool body_ends_with_connection_ = false;
  // Of an answer in chunks.
  std::function<bool(std::string&)> next_chunk_{};
  std::optional<Gzip> gzip_{};
  std::function<void(std::string_view why)> broken_off_{};
  // Of an answer that the client takes slowly.
  std::size_t unsent_bytes_ = 0;  // at the last check
  std::optional<std::chrono::steady_clock::time_point> progress_deadline_{};
  std::optional<std::chrono::steady_clock::time_point> send_deadline_{};  // for all of it
  std::size_t lingered_bytes_ = 0;
};

}  // namespace credits::http
