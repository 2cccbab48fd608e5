#include "http/server/session.hpp"

#include <algorithm>
#include <array>
#include <exception>
#include <new>
#include <stdexcept>
#include <utility>
#include <variant>

#include "actors/base/text.hpp"
#include "http/server/etag.hpp"
#include "http/server/text.hpp"

namespace credits::http {

namespace {

using std::chrono::steady_clock;

constexpr std::string_view json_type = "application/json";

// The first byte of a TLS handshake; no request begins with it.
constexpr char tls_handshake = '\x16';

// Limit on the discarded bytes of a body that the method does not take.
constexpr std::size_t needless_body_bytes_max = 64 * 1'024;

// Bytes of each connection that the shared budget does not count, so that small requests are served
// even if it is used up.
constexpr std::size_t unbudgeted_bytes = 8 * 1'024;

// The longest interval between two checks whether a client takes its answer.
constexpr std::chrono::milliseconds progress_interval_max{1'000};

// Limit on the bytes discarded after the last answer.
constexpr std::size_t lingered_bytes_max = 16 * 1'024 * 1'024;

// Steps of one session before the others have their turn.
constexpr int steps_max = 64;

// How long a call may wait for a worker.
constexpr std::chrono::seconds worker_wait_max{10};

// Time for the rest of a request during the shutdown.
constexpr std::chrono::milliseconds request_end_grace{1'000};

bool takes_body(std::string_view method) {
  return method == "POST" || method == "PUT" || method == "PATCH" || method == "DELETE";
}

bool is_json(std::string_view content_type) {
  return equal_without_case(trimmed(content_type.substr(0, content_type.find(';'))), json_type);
}

std::string bytes_at_most(const std::string& what, std::size_t bytes_max) {
  return "the " + what + " may have at most " + std::to_string(bytes_max) + " bytes";
}

// The field's value; repeated values become "(several)", which matches no valid value; nullopt if
// the field is absent.
std::optional<std::string_view> single_value(const RequestHead& head, Field field) {
  const auto values = head.values(field);
  if (values.empty()) return std::nullopt;
  return values.size() == 1 ? values.front() : "(several)";
}

HttpRequest request_of(const RequestHead& head) {
  HttpRequest request{
      head.method(), head.target(), {}, head.values(Field::idempotency_key), {}, {}};
  Sender& sender = request.sender;
  sender.authorization = head.values(Field::authorization);
  sender.host = head.host();
  sender.origin = single_value(head, Field::origin);
  sender.fetch_site = single_value(head, Field::sec_fetch_site);
  sender.may_be_browser = sender.origin || sender.fetch_site || head.has(Field::accept_encoding);
  sender.is_forwarded = head.has(Field::forwarded);
  request.if_none_match = head.values(Field::if_none_match);
  request.if_match = head.values(Field::if_match);
  request.accept_encoding = head.first(Field::accept_encoding);
  return request;
}

// A strong tag identifies the exact bytes; compressed ones would need another tag.
bool may_be_compressed(const HttpResponse& response) {
  if (is_strong(response.etag) || response.is_gzip) return false;
  return response.next_chunk || is_worth_compressing(response.content_type, response.body.size());
}

// A lack of memory on a worker costs one client its connection. Any other exception there, and a
// lack of memory for the loop's inbox, ends the process.
template <class DoWork>
Work within_memory(DoWork do_work) {
  try {
    return do_work();
  } catch (const std::bad_alloc&) {
    Work none;
    none.is_out_of_memory = true;
    return none;
  }
}

}  // namespace

Session::Session(std::unique_ptr<Connection> connection, SessionContext& context,
                 std::shared_ptr<SessionLink> link)
    : context_{context},
      connection_{std::move(connection)},
      link_{std::move(link)},
      framer_{context.limits.framing},
      share_{context.budget} {
  enter(Phase::handshaking, context_.limits.request_timeout);
}

void Session::enter(Phase phase, std::chrono::milliseconds time) {
  phase_ = phase;
  if (context_.is_ending && phase <= Phase::reading_long) {
    time = std::min(time, phase <= Phase::idle ? context_.limits.end_grace : request_end_grace);
  }
  deadline_ = context_.now + time;
}

void Session::advance(bool may_have_input, bool client_has_ended) {
  may_have_input_ |= may_have_input;
  client_has_ended_ |= client_has_ended;
  has_more_ = true;
  for (int steps = 0; has_more_ && steps < steps_max; ++steps) {
    switch (phase_) {
      case Phase::handshaking:
        has_more_ = handshake();
        break;
      case Phase::idle:
      case Phase::reading:
      case Phase::reading_long:
        has_more_ = read();
        break;
      case Phase::sending:
        has_more_ = send();
        break;
      case Phase::lingering:
        has_more_ = linger();
        break;
      case Phase::answering:
      case Phase::working:
      case Phase::closed:
        has_more_ = false;
    }
  }
}

void Session::close() {
  if (body_ends_with_connection_) connection_->end_with_reset();
  discard_stream();
  phase_ = Phase::closed;
}

void Session::discard_stream() {
  if (!next_chunk_) return;
  try {
    context_.workers.run([stream = std::exchange(next_chunk_, nullptr)] {});
  } catch (const std::bad_alloc&) {
    // The stream was destroyed on this thread instead.
  }
}

bool Session::handshake() {
  switch (connection_->handshake()) {
    case Connection::Progress::done:
      enter(Phase::idle, context_.limits.idle_timeout);
      return true;
    case Connection::Progress::would_block:
      return false;
    case Connection::Progress::ended:
      if (connection_->received_plain_http()) {
        context_.figures.http_on_tls_port.add(connection_->client());
      }
      connection_->shut_down();
      enter(Phase::lingering, context_.limits.linger_timeout);
      return true;
  }
  return false;
}

bool Session::is_reading() const { return phase_ >= Phase::idle && phase_ <= Phase::reading_long; }

bool Session::read() {
  if (!unread_.empty()) {
    const std::string bytes = std::exchange(unread_, {});
    take(bytes);
    return true;
  }
  if (connection_->has_unsent()) connection_->send();  // `100 Continue`
  if (!std::exchange(may_have_input_, false)) return false;
  const Connection::Received received = connection_->receive(context_.buffer);
  if (received.progress == Connection::Progress::ended) return end_of_input();
  if (received.progress != Connection::Progress::done) return false;
  may_have_input_ = received.may_have_more || client_has_ended_;
  take(received.bytes);
  return true;
}

bool Session::end_of_input() {
  if (framer_.has_begun()) {
    refuse({400, "the request ends too early"});
    return true;
  }
  connection_->shut_down();
  close();
  return false;
}

void Session::take(std::string_view bytes) {
  const bool is_tls = bytes.front() == tls_handshake && !framer_.has_begun();
  if (is_tls && !is_secure()) context_.figures.tls_on_plain_port.add(connection_->client());
  while (!bytes.empty() && is_reading() && framer_.takes_more()) {
    bytes.remove_prefix(framer_.take(bytes));
    if (phase_ == Phase::idle && framer_.has_begun()) {
      enter(Phase::reading, context_.limits.request_timeout);
    }
    if (framer_.state() == Framer::State::admitting) admit();
  }
  unread_ = bytes;
  const bool has_room = take_room();
  if (!is_reading()) return;
  if (framer_.state() == Framer::State::refused) return refuse(fault_of_framing());
  if (!has_room) return refuse(fault_of_room());
  // Last, with nothing after it that may fail: from here on a worker may use the session.
  if (framer_.state() == Framer::State::complete) begin();
}

// Updates the connection's share of the budget. False if the request exceeds it.
bool Session::take_room() {
  std::size_t bytes = unread_.size() + framer_.head_bytes();
  if (admission_.is_body_budgeted) bytes += framer_.body().size();
  return share_.set(bytes - std::min(bytes, unbudgeted_bytes));
}

RequestFault Session::fault_of_room() const {
  ++context_.figures.shed;
  return {503, "the requests under way use all the memory that the server sets aside for them"};
}

RequestFault Session::fault_of_framing() const {
  const RequestFault& fault = framer_.fault();
  if (fault.status == 413) return {413, bytes_at_most("body", framer_.body_bytes_max())};
  if (fault.status == 414)
    return {414, bytes_at_most("request target", context_.limits.framing.target_bytes_max)};
  return fault;
}

void Session::admit() {
  const RequestHead& head = framer_.head();
  keeps_alive_ = head.keeps_alive();
  request_ = request_of(head);
  admission_ = context_.service.admit(request_);
  if (admission_.refusal) {
    keeps_alive_ = keeps_alive_ && !head.announces_body();
    return answer(*std::move(admission_.refusal));
  }
  const bool is_body_wanted = takes_body(request_.method);
  if (is_body_wanted && head.announces_body()) {
    if (const auto fault = fault_of_body()) return refuse(*fault);
    if (admission_.refuse_body) {
      keeps_alive_ = false;
      return answer(admission_.refuse_body());
    }
  }
  if (is_body_wanted) {
    framer_.admit_body(admission_.body_bytes_max);
  } else {
    framer_.skip_body(needless_body_bytes_max);
  }
  if (framer_.state() != Framer::State::body) return;
  if (admission_.request_timeout) enter(Phase::reading_long, *admission_.request_timeout);
  if (!head.expects_continue()) return;
  connection_->output() += "HTTP/1.1 100 Continue\r\n\r\n";
  connection_->send();
}

std::optional<RequestFault> Session::fault_of_body() const {
  const RequestHead& head = framer_.head();
  const auto encoding = single_value(head, Field::content_encoding).value_or("");
  const bool is_encoding_known =
      encoding.empty() || is_gzip(encoding) || equal_without_case(encoding, "identity");
  if (!is_encoding_known) {
    return RequestFault{415,
                        "Content-Encoding \"" + base::printable(encoding) + "\" is not supported"};
  }
  const auto types = head.values(Field::content_type);
  if (types.size() > 1) return RequestFault{400, "Content-Type is given twice"};
  if (types.empty() || types.front().empty() || is_json(types.front())) return std::nullopt;
  return RequestFault{
      415, "Content-Type \"" + base::printable(types.front()) + "\" is not application/json"};
}

void Session::begin() {
  request_.received_at = steady_clock::now();
  if (!admission_.is_prompt) return begin_work();
  if (const auto fault = read_body()) return refuse(*fault);
  phase_ = Phase::answering;  // from here on the call may have had an effect
  Service::Begun begun = begin_or_fail();
  if (auto* response = std::get_if<HttpResponse>(&begun)) return answer(std::move(*response));
  pending_ = std::get<std::shared_ptr<PendingAnswer>>(std::move(begun));
  deadline_ = pending_->deadline();
  if (pending_->is_ready()) take_answer();
}

std::optional<RequestFault> Session::read_body() {
  if (!takes_body(request_.method)) return std::nullopt;
  if (auto fault = unpack_body()) return fault;
  request_.body = framer_.body();
  return std::nullopt;
}

std::optional<RequestFault> Session::unpack_body() {
  const auto encoding = framer_.head().first(Field::content_encoding);
  if (!encoding || !is_gzip(*encoding) || !framer_.head().announces_body()) return std::nullopt;
  try {
    auto unpacked = gunzip(framer_.body(), admission_.body_bytes_max);
    if (!unpacked)
      return RequestFault{400, "Content-Encoding says gzip, and the body is not valid gzip"};
    framer_.body() = *std::move(unpacked);
    return take_room() ? std::nullopt : std::optional{fault_of_room()};
  } catch (const std::length_error&) {
    return RequestFault{413, bytes_at_most("body", admission_.body_bytes_max)};
  }
}

Service::Begun Session::begin_or_fail() {
  try {
    return context_.service.begin(request_, admission_, link_);
  } catch (const std::exception& error) {
    return context_.service.failed(error);
  }
}

HttpResponse Session::refusal_of(const RequestFault& fault) const {
  return context_.service.refuse(fault.status, fault.detail);
}

// A worker reads the session's request, which nothing changes meanwhile.
void Session::begin_work() {
  phase_ = Phase::working;
  const auto work = [this, link = link_] {
    link->done(within_memory([this] { return work_on_answer(); }));
  };
  if (context_.workers.try_run(work)) return;
  answer(shed("too many calls of this kind wait for their turn"));
}

// On a worker's thread.
Work Session::work_on_answer() {
  Work done;
  try {
    done.response = work_on_request();
    HttpResponse& response = *done.response;
    if (takes_gzip(request_) && may_be_compressed(response)) {
      response.is_gzip = true;
      if (!response.next_chunk) response.body = Gzip{}.compress(response.body, true);
    }
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    done = {.response = context_.service.failed(error)};
  }
  return done;
}

// On a worker's thread.
HttpResponse Session::work_on_request() {
  if (steady_clock::now() - request_.received_at > worker_wait_max) {
    return shed("the call has waited too long for its turn");
  }
  if (const auto fault = read_body()) return refusal_of(*fault);
  return answer_of(context_.service, request_, admission_);
}

HttpResponse Session::shed(const char* reason) const {
  ++context_.figures.shed;
  return context_.service.refuse(503, reason);
}

void Session::answer_is_ready() {
  if (phase_ != Phase::answering || !pending_->is_ready()) return;
  take_answer();
  advance(false);
}

void Session::take_answer() {
  const auto pending = std::exchange(pending_, nullptr);
  answer(pending->take());
}

void Session::work_is_done(Work work) {
  if (work.is_out_of_memory) {
    ++context_.figures.out_of_memory;
    return break_off("there is no memory for it");
  }
  if (work.response) {
    answer(*std::move(work.response));
  } else if (work.fault) {
    return break_off(*work.fault);
  } else {
    write_part(work.chunk, work.is_last);
    enter(Phase::sending, progress_interval());
  }
  advance(false);
}

// HTTP/1.0 has no chunks.
bool Session::takes_chunks() const { return framer_.head().minor_version() > 0; }

void Session::write_part(std::string_view part, bool is_last) {
  std::string& output = connection_->output();
  if (!takes_chunks()) {
    output += part;
    return;
  }
  if (!part.empty()) append_chunk(output, part);
  if (is_last) append_chunk(output, {});
}

void Session::answer(HttpResponse response) {
  // Free what the call holds before the client can see the answer.
  request_ = {};
  admission_ = {};
  framer_.drop_body();
  take_room();
  const bool is_for_head = framer_.head().method() == "HEAD";
  const bool lacks_length = response.next_chunk && !takes_chunks();
  keeps_alive_ = keeps_alive_ && !context_.is_ending && !lacks_length;
  body_ends_with_connection_ = lacks_length && !is_for_head;
  const AnswerForm form{keeps_alive_, context_.limits.announced_idle_time(), is_for_head,
                        takes_chunks()};
  append_answer(connection_->output(), response, form, context_.date);
  next_chunk_ = std::move(response.next_chunk);
  if (form.is_for_head) discard_stream();
  if (next_chunk_) {
    broken_off_ = std::move(response.broken_off);
    send_deadline_ = context_.now + context_.limits.send_total_timeout;
    if (response.is_gzip) gzip_.emplace();
  }
  if (context_.is_ending) send_deadline_ = context_.now + context_.limits.send_timeout;
  enter(Phase::sending, progress_interval());
}

// The rest of the request is not read, so the connection must end.
void Session::refuse(const RequestFault& fault) {
  keeps_alive_ = false;
  answer(refusal_of(fault));
}

bool Session::ends_with_answer() const { return !keeps_alive_ || context_.is_ending; }

bool Session::send() {
  Connection::Progress progress = connection_->send();
  if (progress == Connection::Progress::done && !next_chunk_ && ends_with_answer()) {
    progress = connection_->shut_down();
  }
  if (progress == Connection::Progress::ended) {
    break_off("the client has gone");
    return false;
  }
  if (progress == Connection::Progress::would_block) {
    if (!progress_deadline_) expect_progress();
    return false;
  }
  progress_deadline_.reset();
  if (!next_chunk_) {
    finish_answer();
    return true;
  }
  ask_for_chunk();
  return false;
}

std::chrono::milliseconds Session::progress_interval() const {
  return std::min(progress_interval_max, context_.limits.send_timeout / 4);
}

// The socket reports space only when a third of its buffer is free, which may be megabytes; a slow
// client can take longer than send_timeout to free that much.
void Session::expect_progress() {
  unsent_bytes_ = connection_->unsent_bytes();
  progress_deadline_ = context_.now + context_.limits.send_timeout;
  if (!send_deadline_) send_deadline_ = context_.now + context_.limits.send_total_timeout;
  enter(Phase::sending, progress_interval());
}

std::optional<std::string_view> Session::fault_of_sending() {
  if (send_deadline_ && context_.now >= *send_deadline_) {
    return context_.is_ending ? "the server is shutting down"
                              : "the client took too long for the whole answer";
  }
  if (!progress_deadline_) return std::nullopt;
  const std::size_t before = std::exchange(unsent_bytes_, connection_->unsent_bytes());
  if (unsent_bytes_ < before) progress_deadline_ = context_.now + context_.limits.send_timeout;
  if (context_.now < *progress_deadline_) return std::nullopt;
  return "the client took nothing for too long";
}

void Session::break_off(std::string_view why) {
  if (broken_off_) broken_off_(why);
  close();
}

void Session::ask_for_chunk() {
  if (const auto fault = fault_of_sending()) return break_off(*fault);
  phase_ = Phase::working;
  context_.workers.run(
      [this, link = link_] { link->done(within_memory([this] { return work_on_chunk(); })); });
}

// On a worker's thread.
Work Session::work_on_chunk() {
  Work work;
  try {
    work.is_last = !next_chunk_(work.chunk);
    if (gzip_) work.chunk = gzip_->compress(work.chunk, work.is_last);
    if (work.is_last) next_chunk_ = nullptr;
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    work.fault = error.what();
  }
  return work;
}

void Session::finish_answer() {
  gzip_.reset();
  broken_off_ = nullptr;
  body_ends_with_connection_ = false;
  send_deadline_.reset();
  if (ends_with_answer()) return enter(Phase::lingering, context_.limits.linger_timeout);
  framer_.begin_next(unread_.empty());
  take_room();
  enter(Phase::idle, context_.limits.idle_timeout);
}

// Unread bytes would make the kernel reset the connection, and the client lose the answer.
bool Session::linger() {
  const Connection::Received received = connection_->receive_raw(context_.buffer);
  if (received.progress == Connection::Progress::would_block) return false;
  lingered_bytes_ += received.bytes.size();
  if (received.progress == Connection::Progress::ended || lingered_bytes_ > lingered_bytes_max) {
    close();
    return false;
  }
  return true;
}

void Session::deadline_has_passed() {
  switch (phase_) {
    case Phase::answering:
      take_answer();
      return advance(false);
    case Phase::sending:
      if (const auto fault = fault_of_sending()) return break_off(*fault);
      return enter(Phase::sending, progress_interval());
    default:
      connection_->shut_down();  // tells the client that nothing was cut off
      return close();
  }
}

void Session::out_of_memory() {
  ++context_.figures.out_of_memory;
  if (!is_reading() || connection_->has_unsent()) return close();
  framer_.drop_body();  // frees memory for an answer
  keeps_alive_ = false;
  try {
    answer(shed("there is no memory for the request"));
    has_more_ = true;
  } catch (const std::bad_alloc&) {
    close();
  }
}

void Session::end_soon() {
  switch (phase_) {
    case Phase::handshaking:
    case Phase::idle:
      deadline_ = std::min(deadline_, context_.now + context_.limits.end_grace);
      advance(true);
      break;
    case Phase::reading:
    case Phase::reading_long:
      deadline_ = std::min(deadline_, context_.now + request_end_grace);
      break;
    case Phase::sending:
    case Phase::working:
      send_deadline_ = std::min(send_deadline_.value_or(steady_clock::time_point::max()),
                                context_.now + context_.limits.send_timeout);
      break;
    default:
      break;
  }
}

}  // namespace credits::http
