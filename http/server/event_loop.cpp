#include "http/server/event_loop.hpp"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <list>
#include <mutex>
#include <new>
#include <set>
#include <system_error>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "http/server/descriptor.hpp"

namespace credits::http {

namespace {

using std::chrono::steady_clock;
using Phase = Session::Phase;

constexpr std::size_t buffer_bytes = 64 * 1'024;
constexpr int inbox_rounds_max = 8;

// Work from other threads for the loop. Shared with the sessions' links, which may outlive the
// loop.
class Inbox {
 public:
  struct Content {
    std::vector<std::unique_ptr<Connection>> adopted{};
    std::vector<std::uint64_t> ready{};                  // sessions whose answers are ready
    std::vector<std::pair<std::uint64_t, Work>> done{};  // sessions with a worker's result
    bool is_ending = false;

    bool is_empty() const { return adopted.empty() && ready.empty() && done.empty() && !is_ending; }
  };

  Inbox() = default;
  Inbox(const Inbox&) = delete;
  Inbox& operator=(const Inbox&) = delete;

  template <class Put>
  void put(Put put) {
    const std::lock_guard lock{mutex_};
    const bool was_empty = content_.is_empty();
    put(content_);
    if (was_empty && std::this_thread::get_id() != reader_) ::eventfd_write(event(), 1);
  }

  Content take() {
    const std::lock_guard lock{mutex_};
    return std::exchange(content_, {});
  }

  bool is_empty() {
    const std::lock_guard lock{mutex_};
    return content_.is_empty();
  }

  // The reader's own puts need no wake-up, because it empties the inbox before it sleeps.
  void set_reader(std::thread::id reader) {
    const std::lock_guard lock{mutex_};
    reader_ = reader;
  }

  int event() const { return event_.get(); }

  void clear_event() const {
    eventfd_t ignored = 0;
    ::eventfd_read(event(), &ignored);
  }

 private:
  const Descriptor event_ = checked(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd");
  std::mutex mutex_;
  Content content_;         // guarded by mutex_
  std::thread::id reader_;  // guarded by mutex_
};

class InboxLink : public SessionLink {
 public:
  InboxLink(std::shared_ptr<Inbox> inbox, std::uint64_t number)
      : inbox_{std::move(inbox)}, number_{number} {}

  void ready() override {
    inbox_->put([this](Inbox::Content& content) { content.ready.push_back(number_); });
  }

  void done(Work work) override {
    inbox_->put(
        [&](Inbox::Content& content) { content.done.emplace_back(number_, std::move(work)); });
  }

 private:
  const std::shared_ptr<Inbox> inbox_;
  const std::uint64_t number_;
};

struct Member {
  Member(std::unique_ptr<Connection> connection, SessionContext& context,
         std::shared_ptr<SessionLink> link)
      : session{std::move(connection), context, std::move(link)} {}

  Session session;
  Phase listed_as = Phase::closed;
  steady_clock::time_point listed_until{};
  std::list<std::uint64_t>::iterator by_deadline{};
};

}  // namespace

class EventLoop::Impl {
 public:
  Impl(const SessionLimits& limits, Service& service, ServerFigures& figures, WorkerPool& workers,
       ByteBudget& budget)
      : context_{limits, service, figures, workers, budget, buffer_, {}, steady_clock::now(),
                 false} {
    if (!watch(inbox_->event(), inbox_number, EPOLLIN)) {
      throw std::system_error{errno, std::generic_category(), "epoll_ctl"};
    }
    thread_ = std::thread{[this] { run(); }};
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  Inbox& inbox() { return *inbox_; }

  void join() { thread_.join(); }

 private:
  static constexpr std::uint64_t inbox_number = 0;

  void run() {
    inbox_->set_reader(std::this_thread::get_id());
    std::array<epoll_event, 256> events{};
    while (!context_.is_ending || !members_.empty()) {
      const int ready = ::epoll_wait(poller_.get(), events.data(), static_cast<int>(events.size()),
                                     has_work() ? 0 : milliseconds_to_deadline());
      update_clocks();
      for (int i = 0; i < ready; ++i) handle(events[static_cast<std::size_t>(i)]);
      for (const std::uint64_t number : std::exchange(unfinished_, {})) {
        with(number, [](Session& session) { session.advance(false); });
      }
      handle_inbox();
      expire();
    }
  }

  // The inbox may hold this thread's own puts, which wake nobody.
  bool has_work() { return !unfinished_.empty() || !inbox_->is_empty(); }

  void update_clocks() {
    context_.now = steady_clock::now();
    const auto wall = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
    if (wall == dated_) return;
    dated_ = wall;
    context_.date = http_date(wall);
  }

  void handle(const epoll_event& event) {
    if (event.data.u64 == inbox_number) return inbox_->clear_event();
    const bool is_readable = (event.events & ~static_cast<std::uint32_t>(EPOLLOUT)) != 0;
    const bool client_has_ended = (event.events & (EPOLLRDHUP | EPOLLHUP)) != 0;
    with(event.data.u64, [&](Session& session) {
      session.advance(is_readable || session.is_secure(), client_has_ended);
    });
  }

  // Handling the content may add more; the limit on rounds gives the sockets their turn.
  void handle_inbox() {
    for (int round = 0; round < inbox_rounds_max; ++round) {
      auto content = inbox_->take();
      if (content.is_empty()) return;
      handle(content);
    }
  }

  void handle(Inbox::Content& content) {
    for (auto& connection : content.adopted) take_in(std::move(connection));
    for (const std::uint64_t number : content.ready) {
      with(number, [](Session& session) { session.answer_is_ready(); });
    }
    for (auto& [number, work] : content.done) {
      with(number, [&done = work](Session& session) { session.work_is_done(std::move(done)); });
    }
    if (content.is_ending && !std::exchange(context_.is_ending, true)) {
      for (const std::uint64_t number : numbers()) {
        with(number, [](Session& session) { session.end_soon(); });
      }
    }
  }

  void take_in(std::unique_ptr<Connection> connection) {
    const std::uint64_t number = ++last_number_;
    const int descriptor = connection->descriptor();
    members_.try_emplace(number, std::move(connection), context_,
                         std::make_shared<InboxLink>(inbox_, number));
    if (!watch(descriptor, number, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)) {
      return with(number, [](Session& session) { session.out_of_memory(); });
    }
    with(number, [this](Session& session) {
      session.advance(true);
      if (context_.is_ending) session.end_soon();
    });
  }

  // False, with the reason in errno, if the system lacks memory for it.
  bool watch(int descriptor, std::uint64_t number, std::uint32_t events) const {
    epoll_event event{};
    event.events = events;
    event.data.u64 = number;
    return ::epoll_ctl(poller_.get(), EPOLL_CTL_ADD, descriptor, &event) == 0;
  }

  std::vector<std::uint64_t> numbers() const {
    std::vector<std::uint64_t> all;
    for (const auto& [number, member] : members_) all.push_back(number);
    return all;
  }

  // Calls `work` with the session of that number, if it still exists, then files the session under
  // what it waits for.
  template <class Work>
  void with(std::uint64_t number, Work work) {
    const auto found = members_.find(number);
    if (found == members_.end()) return;
    Session& session = found->second.session;
    try {
      work(session);
    } catch (const std::bad_alloc&) {
      // If memory for one client's request or answer runs out, only that client loses its
      // connection. If it runs out in the loop's own bookkeeping, other sessions would wait for
      // ever; any other exception here is a bug. Both end the process.
      session.out_of_memory();
    }
    if (session.phase() == Phase::closed) {
      unlist(found->second);
      ::epoll_ctl(poller_.get(), EPOLL_CTL_DEL, session.descriptor(), nullptr);
      members_.erase(found);
      --context_.figures.connections;
    } else {
      list(number, found->second);
      if (session.has_more()) unfinished_.insert(number);
    }
  }

  // Sessions in the same phase have the same time limit, so the newest deadline is the last one.
  void list(std::uint64_t number, Member& member) {
    const Session& session = member.session;
    if (member.listed_as == session.phase() && member.listed_until == session.deadline()) return;
    auto& wanted = waiting_in(session.phase());
    if (member.listed_as == Phase::closed) {
      member.by_deadline = wanted.insert(wanted.end(), number);
    } else {
      wanted.splice(wanted.end(), waiting_in(member.listed_as), member.by_deadline);
    }
    member.listed_as = session.phase();
    member.listed_until = session.deadline();
  }

  void unlist(Member& member) {
    if (member.listed_as != Phase::closed) waiting_in(member.listed_as).erase(member.by_deadline);
  }

  void expire() {
    for_each_deadline([&](std::list<std::uint64_t>& waiting) {
      while (!waiting.empty()) {
        const std::uint64_t number = waiting.front();
        if (members_.at(number).session.deadline() > context_.now) return;
        with(number, [](Session& session) { session.deadline_has_passed(); });
      }
    });
  }

  int milliseconds_to_deadline() {
    auto nearest = steady_clock::time_point::max();
    for_each_deadline([&](const std::list<std::uint64_t>& waiting) {
      if (waiting.empty()) return;
      nearest = std::min(nearest, members_.at(waiting.front()).session.deadline());
    });
    if (nearest == steady_clock::time_point::max()) return -1;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(nearest - steady_clock::now());
    return static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 60'000));
  }

  // Leaves out Phase::working, which has no deadline.
  template <class Visit>
  void for_each_deadline(Visit visit) {
    for (std::size_t phase = 0; phase < static_cast<std::size_t>(Phase::working); ++phase) {
      visit(waiting_[phase]);
    }
  }

  std::list<std::uint64_t>& waiting_in(Phase phase) {
    return waiting_[static_cast<std::size_t>(phase)];
  }

  const Descriptor poller_ = checked(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
  const std::shared_ptr<Inbox> inbox_ = std::make_shared<Inbox>();
  std::array<char, buffer_bytes> buffer_{};
  SessionContext context_;
  std::chrono::sys_seconds dated_{};
  std::unordered_map<std::uint64_t, Member> members_;
  std::uint64_t last_number_ = inbox_number;
  std::set<std::uint64_t> unfinished_;  // have more to do after the others' turn
  // The sessions in each phase, nearest deadline first.
  std::array<std::list<std::uint64_t>, Session::phases> waiting_;
  std::thread thread_;
};

EventLoop::EventLoop(const SessionLimits& limits, Service& service, ServerFigures& figures,
                     WorkerPool& workers, ByteBudget& budget)
    : impl_{std::make_unique<Impl>(limits, service, figures, workers, budget)} {}

EventLoop::~EventLoop() = default;

void EventLoop::adopt(std::unique_ptr<Connection> connection) {
  impl_->inbox().put(
      [&](Inbox::Content& content) { content.adopted.push_back(std::move(connection)); });
}

void EventLoop::end() {
  impl_->inbox().put([](Inbox::Content& content) { content.is_ending = true; });
}

void EventLoop::join() { impl_->join(); }

}  // namespace credits::http
