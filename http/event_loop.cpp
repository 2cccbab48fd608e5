#include "http/event_loop.hpp"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <list>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

namespace credits::http {

namespace {

using std::chrono::steady_clock;

// What other threads have for the loop. A listener may outlive the loop, so this may too.
class Inbox {
 public:
  struct Content {
    std::vector<std::unique_ptr<Connection>> adopted{};
    std::vector<std::uint64_t> ready{};  // numbers of connections
    bool is_ending = false;

    bool is_empty() const { return adopted.empty() && ready.empty() && !is_ending; }
  };

  Inbox() = default;
  ~Inbox() { ::close(event_); }
  Inbox(const Inbox&) = delete;
  Inbox& operator=(const Inbox&) = delete;

  template <class Put>
  void put(Put put) {
    const std::lock_guard lock{mutex_};
    const bool was_empty = content_.is_empty();
    put(content_);
    if (was_empty && std::this_thread::get_id() != reader_) ::eventfd_write(event_, 1);
  }

  Content take() {
    const std::lock_guard lock{mutex_};
    return std::exchange(content_, {});
  }

  // Whose own puts wake nobody: it takes them before it sleeps.
  void set_reader(std::thread::id reader) {
    const std::lock_guard lock{mutex_};
    reader_ = reader;
  }

  int event() const { return event_; }

  void clear_event() const {
    eventfd_t ignored = 0;
    ::eventfd_read(event_, &ignored);
  }

 private:
  const int event_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  std::mutex mutex_;
  Content content_;         // guarded by mutex_
  std::thread::id reader_;  // guarded by mutex_
};

class InboxListener : public Listener {
 public:
  InboxListener(std::shared_ptr<Inbox> inbox, std::uint64_t number)
      : inbox_{std::move(inbox)}, number_{number} {}

  void ready() override {
    inbox_->put([this](Inbox::Content& content) { content.ready.push_back(number_); });
  }

 private:
  const std::shared_ptr<Inbox> inbox_;
  const std::uint64_t number_;
};

// What a connection waits for.
enum State : std::uint8_t { idle, answering, sending, states };

struct Member {
  std::unique_ptr<Connection> connection;
  std::shared_ptr<Listener> listener;
  State state = idle;
  steady_clock::time_point deadline{};
  std::list<std::uint64_t>::iterator by_deadline{};
  bool may_have_input = true;
  bool client_has_ended = false;  // there is an end to be read, after what has come before it
  Processed processed{};
};

}  // namespace

class EventLoop::Impl {
 public:
  Impl(LoopOwner& owner, const ConnectionLimits& limits)
      : owner_{owner}, limits_{limits}, poller_{::epoll_create1(EPOLL_CLOEXEC)} {
    watch(inbox_->event(), inbox_number, EPOLLIN);
    thread_ = std::thread{[this] { run(); }};
  }
  ~Impl() { ::close(poller_); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  Inbox& inbox() { return *inbox_; }

  void join() { thread_.join(); }

 private:
  static constexpr std::uint64_t inbox_number = 0;

  void run() {
    inbox_->set_reader(std::this_thread::get_id());
    std::array<epoll_event, 256> events{};
    while (!is_ending_ || !members_.empty()) {
      const int ready = ::epoll_wait(poller_, events.data(), static_cast<int>(events.size()),
                                     milliseconds_to_deadline());
      now_ = steady_clock::now();
      for (int i = 0; i < ready; ++i) handle(events[static_cast<std::size_t>(i)]);
      do {
        handle_inbox();
      } while (expire());
    }
  }

  void handle(const epoll_event& event) {
    if (event.data.u64 == inbox_number) return inbox_->clear_event();
    Member* const member = find(event.data.u64);
    if (!member) return;
    if ((event.events & ~static_cast<std::uint32_t>(EPOLLOUT)) != 0) member->may_have_input = true;
    if ((event.events & EPOLLRDHUP) != 0) member->client_has_ended = true;
    if (member->state == sending) send(event.data.u64, *member);
    go_on(event.data.u64);
  }

  void handle_inbox() {
    for (auto content = inbox_->take(); !content.is_empty(); content = inbox_->take()) {
      handle(content);
    }
  }

  void handle(Inbox::Content& content) {
    for (auto& connection : content.adopted) take_in(std::move(connection));
    for (const std::uint64_t number : content.ready) answer_if_ready(number);
    if (content.is_ending && !std::exchange(is_ending_, true)) {
      for (const std::uint64_t number : std::vector(waiting_[idle].begin(), waiting_[idle].end())) {
        end_soon_if_idle(number);
      }
      for (const std::uint64_t number : waiting_[sending]) {
        find(number)->connection->end_sending_soon();
      }
    }
  }

  void take_in(std::unique_ptr<Connection> connection) {
    const std::uint64_t number = ++last_number_;
    const int descriptor = connection->descriptor();
    Member& member = members_[number];
    member.connection = std::move(connection);
    member.listener = std::make_shared<InboxListener>(inbox_, number);
    member.by_deadline = waiting_[idle].insert(waiting_[idle].end(), number);
    member.deadline = now_ + limits_.idle_timeout;
    member.connection->begin_sharing();
    watch(descriptor, number, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
    go_on(number);
    if (is_ending_) end_soon_if_idle(number);
  }

  void watch(int descriptor, std::uint64_t number, std::uint32_t events) const {
    epoll_event event{};
    event.events = events;
    event.data.u64 = number;
    ::epoll_ctl(poller_, EPOLL_CTL_ADD, descriptor, &event);
  }

  Member* find(std::uint64_t number) {
    const auto found = members_.find(number);
    return found == members_.end() ? nullptr : &found->second;
  }

  // Answers what has come of a connection that waits for nothing else.
  void go_on(std::uint64_t number) {
    for (Member* member = find(number); member && member->state == idle; member = find(number)) {
      Connection& connection = *member->connection;
      if (!connection.unread().empty() && owner_.can_be_prompt(connection.unread())) {
        process(number, *member);
      } else if (!std::exchange(member->may_have_input, false)) {
        if (!connection.unread().empty()) hand_over(number);
        return;
      } else if (!receive(*member)) {
        return connection.unread().empty() ? close(number) : hand_over(number);
      }
    }
  }

  // Returns whether the connection goes on.
  static bool receive(Member& member) {
    const Received received = member.connection->receive_now();
    member.may_have_input =
        received == Received::full || (received == Received::some && member.client_has_ended);
    return received != Received::ended;
  }

  void process(std::uint64_t number, Member& member) {
    member.connection->begin_request();
    member.processed = owner_.process(*member.connection, member.listener);
    member.connection->discard_output();
    // Taken out: an idle connection keeps no answer.
    if (const auto done = std::exchange(member.processed.done, std::nullopt)) {
      return answer(number, member, *done);
    }
    if (!member.processed.ongoing) return close(number);
    wait_for(answering, member, member.processed.ongoing->deadline());
    if (member.processed.ongoing->is_ready()) answer(number, member);
  }

  void answer_if_ready(std::uint64_t number) {
    Member* const member = find(number);
    if (!member || member->state != answering || !member->processed.ongoing->is_ready()) return;
    answer(number, *member);
    go_on(number);
  }

  void answer(std::uint64_t number, Member& member) {
    const auto ongoing = std::exchange(member.processed.ongoing, nullptr);
    answer(number, member, ongoing->take());
  }

  void answer(std::uint64_t number, Member& member, const HttpResponse& response) {
    if (is_ending_) member.processed.goes_on = false;
    const std::string text = owner_.text_of(response, member.processed);
    member.connection->write(text.data(), text.size());
    send(number, member);
  }

  void send(std::uint64_t number, Member& member) {
    switch (member.connection->send_now()) {
      case Sent::failed:
        return close(number);
      case Sent::in_part:
        if (member.state == sending) return;
        member.connection->expect_progress();
        if (is_ending_) member.connection->end_sending_soon();
        return wait_for_progress(member);
      case Sent::whole:
        if (!member.processed.goes_on || is_ending_) return owner_.finish(release(number));
        return wait_for(idle, member, now_ + limits_.idle_timeout);
    }
  }

  void wait_for_progress(Member& member) {
    wait_for(sending, member, now_ + member.connection->progress_interval());
  }

  void wait_for(State state, Member& member, steady_clock::time_point deadline) {
    auto& list = waiting_[state];
    list.splice(list.end(), waiting_[member.state], member.by_deadline);
    member.state = state;
    member.deadline = deadline;
  }

  // Returns whether something had: the requests that come after it are begun, and may put into the
  // inbox what nobody is woken for.
  bool expire() {
    bool has_expired = false;
    for (const State state : {idle, answering, sending}) {
      while (!waiting_[state].empty()) {
        const std::uint64_t number = waiting_[state].front();
        Member& member = members_.at(number);
        if (member.deadline > now_) break;
        has_expired = true;
        if (state == sending && member.connection->is_progressing()) {
          wait_for_progress(member);
        } else if (state != answering) {
          close(number);
        } else {
          answer(number, member);
          go_on(number);
        }
      }
    }
    return has_expired;
  }

  int milliseconds_to_deadline() {
    auto nearest = steady_clock::time_point::max();
    for (const auto& list : waiting_) {
      if (!list.empty()) nearest = std::min(nearest, members_.at(list.front()).deadline);
    }
    if (nearest == steady_clock::time_point::max()) return -1;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(nearest - steady_clock::now());
    return static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 60'000));
  }

  // What has come already is still answered, and what is on its way: a client may have sent its
  // next request before it can know of the end.
  void end_soon_if_idle(std::uint64_t number) {
    Member* const member = find(number);
    if (!member || member->state != idle) return;
    member->may_have_input = true;
    member->deadline = std::min(member->deadline, now_ + limits_.end_grace);
    go_on(number);
  }

  void hand_over(std::uint64_t number) {
    auto connection = release(number);
    connection->end_sharing();
    owner_.hand_over(std::move(connection));
  }

  void close(std::uint64_t number) { release(number); }

  std::unique_ptr<Connection> release(std::uint64_t number) {
    const auto found = members_.find(number);
    Member& member = found->second;
    waiting_[member.state].erase(member.by_deadline);
    auto connection = std::move(member.connection);
    ::epoll_ctl(poller_, EPOLL_CTL_DEL, connection->descriptor(), nullptr);
    members_.erase(found);
    return connection;
  }

  LoopOwner& owner_;
  const ConnectionLimits& limits_;
  const int poller_;
  const std::shared_ptr<Inbox> inbox_ = std::make_shared<Inbox>();
  std::unordered_map<std::uint64_t, Member> members_;
  std::uint64_t last_number_ = inbox_number;
  std::array<std::list<std::uint64_t>, states> waiting_;  // of members_, nearest deadline first
  steady_clock::time_point now_ = steady_clock::now();
  bool is_ending_ = false;
  std::thread thread_;
};

EventLoop::EventLoop(LoopOwner& owner, const ConnectionLimits& limits)
    : impl_{std::make_unique<Impl>(owner, limits)} {}

EventLoop::~EventLoop() = default;

void EventLoop::adopt(std::unique_ptr<Connection> connection) {
  impl_->inbox().put(
      [&connection](auto& content) { content.adopted.push_back(std::move(connection)); });
}

void EventLoop::join() { impl_->join(); }

void EventLoop::end() {
  impl_->inbox().put([](auto& content) { content.is_ending = true; });
}

}  // namespace credits::http
