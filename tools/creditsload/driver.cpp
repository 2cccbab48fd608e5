#include "tools/creditsload/driver.hpp"

#include <curl/curl.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <deque>
#include <utility>
#include <vector>

#include "tools/creditsctl/client.hpp"
#include "tools/creditsctl/failure.hpp"

namespace credits::creditsload {

namespace {

using creditsctl::Failure;
using std::chrono::duration_cast;

constexpr std::chrono::milliseconds tick_interval{100};
constexpr rlim_t descriptors_spare = 64;
constexpr int ok = 200;

struct EasyCleanup {
  void operator()(CURL* easy) const { ::curl_easy_cleanup(easy); }
};
struct MultiCleanup {
  void operator()(CURLM* multi) const { ::curl_multi_cleanup(multi); }
};
struct FreeList {
  void operator()(curl_slist* list) const { ::curl_slist_free_all(list); }
};
using Easy = std::unique_ptr<CURL, EasyCleanup>;
using Multi = std::unique_ptr<CURLM, MultiCleanup>;
using Headers = std::unique_ptr<curl_slist, FreeList>;

void allow_descriptors(std::size_t wanted) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  const rlim_t needed = wanted + descriptors_spare;
  if (limit.rlim_cur >= needed) return;
  if (limit.rlim_max < needed) {
    throw Failure{creditsctl::usage_error,
                  std::to_string(wanted) + " connections need " + std::to_string(needed) +
                      " file descriptors, and the limit is " + std::to_string(limit.rlim_max) +
                      "; raise it (ulimit -Hn) or use fewer connections"};
  }
  limit.rlim_cur = needed;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

std::size_t append_to(char* data, std::size_t, std::size_t size, void* body) {
  static_cast<std::string*>(body)->append(data, size);
  return size;
}

void append(Headers& headers, const std::string& line) {
  headers.reset(::curl_slist_append(headers.release(), line.c_str()));
}

// A connection's current request.
struct Slot {
  Easy easy{::curl_easy_init()};
  Request request{};
  Clock::time_point intended{};
  Answer answer{};
  Headers headers{};  // only for a request with a key
};

}  // namespace

class Driver::Impl {
 public:
  Impl(const Settings& settings, Answered answered)
      : settings_{settings},
        answered_{std::move(answered)},
        token_{settings.server.token_file.empty()
                   ? ""
                   : creditsctl::read_token(settings.server.token_file)},
        headers_{headers_with("")} {
    allow_descriptors(settings.connections + settings.idle_connections);
    ::curl_multi_setopt(multi_.get(), CURLMOPT_SOCKETFUNCTION, &on_socket);
    ::curl_multi_setopt(multi_.get(), CURLMOPT_SOCKETDATA, this);
    ::curl_multi_setopt(multi_.get(), CURLMOPT_TIMERFUNCTION, &on_timer);
    ::curl_multi_setopt(multi_.get(), CURLMOPT_TIMERDATA, this);
    ::curl_multi_setopt(multi_.get(), CURLMOPT_MAXCONNECTS,
                        static_cast<long>(settings.connections + 1));
    watch(timer_);
    watch(due_timer_);
    for (std::size_t i = 0; i < settings.connections; ++i) {
      slots_.push_back(std::make_unique<Slot>());
      set_up(slots_.back()->easy.get(), slots_.back()->answer.body);
      ::curl_easy_setopt(slots_.back()->easy.get(), CURLOPT_PRIVATE, slots_.back().get());
      idle_.push_back(slots_.back().get());
    }
  }

  ~Impl() {
    for (const auto& slot : slots_) ::curl_multi_remove_handle(multi_.get(), slot->easy.get());
    for (const int descriptor : {poller_, timer_, due_timer_}) ::close(descriptor);
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  void run(Clock::time_point end, const std::function<Request()>& next,
           const std::function<void()>& tick) {
    next_due_ = Clock::now();
    auto next_tick = next_due_ + tick_interval;
    while (true) {
      const auto now = Clock::now();
      if (now < end) {
        begin_what_is_due(now, next);
      } else if (waiting_.empty() && idle_.size() == slots_.size()) {
        return;
      } else if (now >= end + timeout_) {
        give_up_waiting();
      }
      if (now >= next_tick) {
        tick();
        next_tick = now + tick_interval;
      }
      wait(std::min(next_tick, now < end ? end : next_tick));
      take_answers();
      send_waiting();
    }
  }

  void check_server() const {
    const Easy easy{::curl_easy_init()};
    std::string body;
    set_up(easy.get(), body);
    ::curl_easy_setopt(easy.get(), CURLOPT_URL, (base_ + "/healthz").c_str());
    const CURLcode result = ::curl_easy_perform(easy.get());
    if (result != CURLE_OK) throw no_answer(result);
  }

  void open_idle_connections() {
    while (idle_connections_.size() < settings_.idle_connections) open_idle_connection();
  }

  std::string post(const std::string& target, const std::string& body) {
    const Easy easy{::curl_easy_init()};
    Answer answer;
    set_up(easy.get(), answer.body);
    const Request request{Kind::batch, target, body};
    prepare(easy.get(), request, headers_.get());
    const CURLcode result = ::curl_easy_perform(easy.get());
    if (result != CURLE_OK) throw no_answer(result);
    if (const int status = status_of(easy.get()); status != ok) {
      throw Failure{creditsctl::failed, settings_.server.url + " answered " +
                                            std::to_string(status) + ": " + answer.body};
    }
    return std::move(answer.body);
  }

 private:
  // What a target follows.
  static std::string base_of(const std::string& text, const creditsctl::Url& url) {
    if (!url.socket_path.empty()) return "http://localhost";
    return text.ends_with('/') ? text.substr(0, text.size() - 1) : text;
  }

  Headers headers_with(const std::string& idempotency_key) const {
    Headers headers;
    append(headers, "Content-Type: application/json");
    append(headers, "Accept:");  // libcurl then omits the header
    append(headers, "Expect:");
    if (!token_.empty()) append(headers, "Authorization: Bearer " + token_);
    if (!idempotency_key.empty()) append(headers, "Idempotency-Key: " + idempotency_key);
    return headers;
  }

  void set_up(CURL* easy, std::string& body) const {
    ::curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    ::curl_easy_setopt(easy, CURLOPT_PROXY, "");
    ::curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    ::curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &append_to);
    ::curl_easy_setopt(easy, CURLOPT_WRITEDATA, &body);
    ::curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS,
                       static_cast<long>(settings_.timeout_seconds * 1'000));
    if (!url_.socket_path.empty()) {
      ::curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, url_.socket_path.c_str());
    }
    if (const auto& ca_file = settings_.server.ca_file; !ca_file.empty()) {
      ::curl_easy_setopt(easy, CURLOPT_CAINFO, ca_file.c_str());
    }
  }

  // `request` must live until it is answered.
  void prepare(CURL* easy, const Request& request, curl_slist* headers) const {
    ::curl_easy_setopt(easy, CURLOPT_URL, (base_ + request.target).c_str());
    ::curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, static_cast<long>(request.body.size()));
    ::curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request.body.c_str());
    ::curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
  }

  void open_idle_connection() {
    idle_connections_.emplace_back(::curl_easy_init());
    CURL* const easy = idle_connections_.back().get();
    std::string nothing;
    set_up(easy, nothing);
    ::curl_easy_setopt(easy, CURLOPT_URL, base_.c_str());
    ::curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L);
    if (const CURLcode result = ::curl_easy_perform(easy); result != CURLE_OK) {
      throw no_answer(result);
    }
  }

  Failure no_answer(CURLcode result) const {
    const bool is_there = result != CURLE_COULDNT_CONNECT && result != CURLE_COULDNT_RESOLVE_HOST &&
                          result != CURLE_OPERATION_TIMEDOUT;
    const auto fault = is_there ? creditsctl::fault_of_scheme(url_) : std::nullopt;
    return {creditsctl::unreachable,
            settings_.server.url + ": " + fault.value_or(::curl_easy_strerror(result))};
  }

  void begin_what_is_due(Clock::time_point now, const std::function<Request()>& next) {
    if (settings_.rate == 0) {
      while (!idle_.empty()) send(take_idle(), next(), now);
      return;
    }
    const auto interval =
        duration_cast<Clock::duration>(std::chrono::duration<double>{1 / settings_.rate});
    for (; next_due_ <= now; next_due_ += interval) waiting_.push_back({next(), next_due_});
    send_waiting();
  }

  void send_waiting() {
    for (; !waiting_.empty() && !idle_.empty(); waiting_.pop_front()) {
      send(take_idle(), std::move(waiting_.front().first), waiting_.front().second);
    }
  }

  void give_up_waiting() {
    Answer none;
    none.failure = "not sent: every connection was busy";
    none.was_sent = false;
    Request ignored;
    for (const auto& [request, due] : std::exchange(waiting_, {})) {
      answered_(request, none, due, ignored);
    }
  }

  Slot& take_idle() {
    Slot& slot = *idle_.back();
    idle_.pop_back();
    return slot;
  }

  void send(Slot& slot, Request request, Clock::time_point intended) {
    slot.request = std::move(request);
    slot.intended = intended;
    slot.answer = {};
    const std::string& key = slot.request.idempotency_key;
    slot.headers = key.empty() ? nullptr : headers_with(key);
    prepare(slot.easy.get(), slot.request, slot.headers ? slot.headers.get() : headers_.get());
    ::curl_multi_add_handle(multi_.get(), slot.easy.get());
  }

  // Waits for an event, the next due request, or `latest`.
  void wait(Clock::time_point latest) {
    if (settings_.rate > 0) latest = std::min(latest, next_due_);
    set_timer(due_timer_, latest - Clock::now());
    std::array<epoll_event, 256> events{};
    const int ready = ::epoll_wait(poller_, events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < ready; ++i) {
      const epoll_event& event = events[static_cast<std::size_t>(i)];
      if (event.data.fd == due_timer_) continue;
      const bool is_timer = event.data.fd == timer_;
      if (is_timer) set_timer(timer_, Clock::duration{-1});
      int running = 0;
      ::curl_multi_socket_action(multi_.get(), is_timer ? CURL_SOCKET_TIMEOUT : event.data.fd,
                                 is_timer ? 0 : actions_of(event.events), &running);
    }
  }

  void take_answers() {
    int left = 0;
    while (const CURLMsg* const message = ::curl_multi_info_read(multi_.get(), &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      char* found = nullptr;
      ::curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &found);
      finish(*reinterpret_cast<Slot*>(found), message->data.result);
    }
  }

  void finish(Slot& slot, CURLcode result) {
    ::curl_multi_remove_handle(multi_.get(), slot.easy.get());
    if (result == CURLE_OK) {
      slot.answer.status = status_of(slot.easy.get());
    } else {
      slot.answer.failure = ::curl_easy_strerror(result);
    }
    Request next;
    if (answered_(slot.request, slot.answer, slot.intended, next)) {
      send(slot, std::move(next), Clock::now());
    } else {
      idle_.push_back(&slot);
    }
  }

  static int status_of(CURL* easy) {
    long status = 0;
    ::curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    return static_cast<int>(status);
  }

  static int actions_of(std::uint32_t events) {
    return ((events & EPOLLIN) != 0 ? CURL_CSELECT_IN : 0) |
           ((events & EPOLLOUT) != 0 ? CURL_CSELECT_OUT : 0) |
           ((events & (EPOLLERR | EPOLLHUP)) != 0 ? CURL_CSELECT_ERR : 0);
  }

  void watch(int descriptor) const {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = descriptor;
    ::epoll_ctl(poller_, EPOLL_CTL_ADD, descriptor, &event);
  }

  // A negative delay fires at once, but -1 ns never fires.
  static void set_timer(int timer, Clock::duration delay) {
    itimerspec spec{};
    if (delay != Clock::duration{-1}) {
      const auto nanoseconds = std::max<std::int64_t>(1, delay.count());
      spec.it_value.tv_sec = nanoseconds / 1'000'000'000;
      spec.it_value.tv_nsec = nanoseconds % 1'000'000'000;
    }
    ::timerfd_settime(timer, 0, &spec, nullptr);
  }

  static int on_socket(CURL*, curl_socket_t socket, int what, void* self, void* known) {
    auto& driver = *static_cast<Impl*>(self);
    if (what == CURL_POLL_REMOVE) {
      return ::epoll_ctl(driver.poller_, EPOLL_CTL_DEL, socket, nullptr), 0;
    }
    epoll_event event{};
    event.events = ((what & CURL_POLL_IN) != 0 ? std::uint32_t{EPOLLIN} : 0) |
                   ((what & CURL_POLL_OUT) != 0 ? std::uint32_t{EPOLLOUT} : 0);
    event.data.fd = socket;
    ::epoll_ctl(driver.poller_, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, socket, &event);
    ::curl_multi_assign(driver.multi_.get(), socket, &driver);
    return 0;
  }

  static int on_timer(CURLM*, long delay_ms, void* self) {
    const auto& driver = *static_cast<Impl*>(self);
    set_timer(driver.timer_, delay_ms < 0 ? Clock::duration{-1}
                                          : Clock::duration{std::chrono::milliseconds{delay_ms}});
    return 0;
  }

  const Settings& settings_;
  const Answered answered_;
  const std::string token_;
  const creditsctl::Url url_ = creditsctl::url_of(settings_.server);
  const std::string base_ = base_of(settings_.server.url, url_);
  const Headers headers_;
  const Clock::duration timeout_ =
      duration_cast<Clock::duration>(std::chrono::duration<double>{settings_.timeout_seconds});
  const int poller_ = ::epoll_create1(EPOLL_CLOEXEC);
  const int timer_ = ::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);  // libcurl's
  const int due_timer_ = ::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  const Multi multi_{::curl_multi_init()};
  std::vector<std::unique_ptr<Slot>> slots_;
  std::vector<Slot*> idle_;
  std::deque<std::pair<Request, Clock::time_point>> waiting_;  // due, but no connection is free
  Clock::time_point next_due_{};
  std::vector<Easy> idle_connections_;
};

Driver::Driver(const Settings& settings, Answered answered)
    : impl_{std::make_unique<Impl>(settings, std::move(answered))} {}

Driver::~Driver() = default;

void Driver::connect() {
  impl_->check_server();
  impl_->open_idle_connections();
}

void Driver::run(Clock::time_point end, const std::function<Request()>& next,
                 const std::function<void()>& tick) {
  impl_->run(end, next, tick);
}

std::string Driver::post(const std::string& target, const std::string& body) {
  return impl_->post(target, body);
}

}  // namespace credits::creditsload
