// One connection's requests and answers, from the handshake to the end: bytes → framer → head →
// route and access → body → operation → answer. Belongs to an event loop's thread and never waits:
// it says what it waits for, and is told when that has come.
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
#include "http/server/compression.hpp"
#include "http/server/connection.hpp"
#include "http/server/figures.hpp"
#include "http/server/framer.hpp"
#include "http/server/service.hpp"
#include "http/server/worker_pool.hpp"

namespace credits::http {

struct SessionLimits {
  FramingLimits framing{};
  std::chrono::milliseconds idle_timeout{60'000};     // between two requests
  std::chrono::milliseconds request_timeout{30'000};  // from a request's first byte to its last
  std::chrono::milliseconds send_timeout{10'000};     // in which some byte must leave
  // For the whole answer, even if the client keeps taking bytes.
  std::chrono::milliseconds send_total_timeout{3'600'000};
  std::chrono::milliseconds linger_timeout{
      1'000};                                // for the client to see that the connection ends
  std::chrono::milliseconds end_grace{100};  // at the end, for a request that is on its way

  // Less than is kept, so that no client sends a request just as its connection is closed.
  std::chrono::seconds announced_idle_time() const {
    const auto spare =
        std::min<std::chrono::milliseconds>(std::chrono::seconds{5}, idle_timeout / 2);
    return std::chrono::floor<std::chrono::seconds>(idle_timeout - spare);
  }
};

// What a worker has done for a session: an answer, or a piece of one.
struct Work {
  std::optional<HttpResponse> response{};
  std::string chunk{};
  bool is_last = false;
  std::optional<std::string> fault{};  // why there is no such piece
  bool is_compressed = false;
};

// The way back to a session from other threads.
class SessionLink : public Listener {
 public:
  virtual void done(Work work) = 0;
};

// What the sessions of a loop share.
struct SessionContext {
  const SessionLimits& limits;
  Service& service;
  ServerFigures& figures;
  WorkerPool& workers;
  std::span<char> room;  // for bytes that have just come
  std::string date;      // as it is now
  std::chrono::steady_clock::time_point now;
  bool is_ending = false;
};

class Session {
 public:
  // What it waits for. Those in the same phase have the same time for it.
  enum class Phase : std::uint8_t {
    shaking_hands,
    idle,          // the first byte of a request
    reading,       // the rest of it
    reading_long,  // the same, of a call that has longer
    answering,     // the answer of the actors
    sending,       // the client to take some bytes
    lingering,     // the client to read that it is the end
    working,       // a worker, however long
    closed,        // nothing
  };
  static constexpr std::size_t phases = static_cast<std::size_t>(Phase::closed) + 1;

  Session(std::unique_ptr<Connection> connection, SessionContext& context,
          std::shared_ptr<SessionLink> link);

  Phase phase() const { return phase_; }
  std::chrono::steady_clock::time_point deadline() const { return deadline_; }
  int descriptor() const { return connection_->descriptor(); }
  // Whether there is more to do at once: go_on() again, after the others.
  bool has_more() const { return has_more_; }
  // TLS may have to write before it can read, and the other way round.
  bool is_secure() const { return connection_->is_secure(); }

  // The socket may be readable or writable.
  void go_on(bool may_have_input, bool client_has_ended = false);
  void answer_is_ready();
  void work_is_done(Work work);
  void time_is_over();
  // One of the above has thrown std::bad_alloc: a request of which nothing has been begun is
  // answered 503, and the connection ends.
  void out_of_memory();
  // The server ends: what is on its way is still answered.
  void end_soon();

 private:
  void enter(Phase phase, std::chrono::milliseconds time);
  void close();

  // Each returns whether there may be more to do at once.
  bool shake_hands();
  bool read();
  bool send();
  bool linger();

  bool end_of_input();
  void take(std::string_view bytes);
  void admit();
  std::optional<RequestFault> fault_of_body() const;
  void begin();
  std::optional<RequestFault> read_body();
  std::optional<RequestFault> unpack_body();
  Service::Begun begin_or_fail();
  void begin_work();
  HttpResponse work_on_request();
  HttpResponse shed(const char* reason) const;
  HttpResponse refusal_of(const RequestFault& fault) const;
  void take_answer();
  void answer(HttpResponse response, bool is_compressed = false);
  bool is_reading() const;
  bool takes_chunks() const;
  bool ends_with_answer() const;
  void write_part(std::string_view part, bool is_last);
  void refuse(const RequestFault& fault);
  RequestFault fault_of_framing() const;
  void ask_for_chunk();
  std::chrono::milliseconds progress_interval() const;
  void expect_progress();
  // Why the answer can be waited for no longer; nothing if it can.
  std::optional<std::string_view> fault_of_sending();
  void break_off(std::string_view why);
  // What a stream holds may take a while to end, so a worker ends it.
  void discard_stream();
  void finish_answer();

  SessionContext& context_;
  const std::unique_ptr<Connection> connection_;
  const std::shared_ptr<SessionLink> link_;
  Phase phase_ = Phase::shaking_hands;
  std::chrono::steady_clock::time_point deadline_{};
  bool has_more_ = false;
  bool may_have_input_ = true;
  bool client_has_ended_ = false;  // there is an end to be read, after what has come before it
  Framer framer_;
  std::string unread_;  // came after the request that is being answered
  HttpRequest request_{};
  Admission admission_{};
  std::shared_ptr<Ongoing> ongoing_{};
  bool goes_on_ = true;
  // Of an answer in chunks.
  std::function<bool(std::string&)> next_chunk_{};
  std::optional<Gzip> gzip_{};
  std::function<void(std::string_view why)> broken_off_{};
  // Of an answer that the client makes wait.
  std::size_t unsent_bytes_ = 0;  // when it was looked at last
  std::optional<std::chrono::steady_clock::time_point> progress_deadline_{};
  std::optional<std::chrono::steady_clock::time_point> send_deadline_{};  // for all of it
  std::size_t lingered_bytes_ = 0;
};

}  // namespace credits::http
