// A thread for each connection, as cpp-httplib wants it, but as many as there are connections: its
// own pool has eight, so that the ninth keep-alive connection waits until another one closes.
#pragma once

#include <httplib.h>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <list>
#include <mutex>
#include <queue>
#include <thread>
#include <utility>

namespace credits::http {

class ConnectionThreads : public httplib::TaskQueue {
 public:
  // `end_all` is called once, at shutdown: it makes the connections end.
  ConnectionThreads(std::size_t threads_max, std::function<void()> end_all)
      : threads_max_{threads_max}, end_all_{std::move(end_all)} {}

  // The library changed this result from nothing to bool between Debian 12 and 13.
  using Enqueued = decltype(std::declval<httplib::TaskQueue&>().enqueue(std::function<void()>{}));

  // Runs `task` on a thread of its own; beyond threads_max on the caller's, which is_shedding().
  Enqueued enqueue(std::function<void()> task) override;

  // Ends when every connection has ended.
  void shutdown() override;

  // Whether this thread runs a task that there was no thread for: refuse it, at once.
  static bool is_shedding();

 private:
  using Threads = std::list<std::thread>;

  bool take_up(std::function<void()>& task);
  void work(Threads::iterator self);
  void join_ended(std::unique_lock<std::mutex>& lock);

  static constexpr std::chrono::seconds idle_thread_timeout{10};

  const std::size_t threads_max_;
  const std::function<void()> end_all_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::queue<std::function<void()>> tasks_;  // guarded by mutex_; no more than there are idle ones
  std::size_t idle_ = 0;                     // guarded by mutex_
  Threads threads_;                          // guarded by mutex_
  Threads ended_;                            // guarded by mutex_; to be joined
  bool shutting_down_ = false;               // guarded by mutex_
};

}  // namespace credits::http
