// Threads for what has to wait: as many as there is work for, which end when they have been idle
// for a while.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <list>
#include <mutex>
#include <queue>
#include <thread>

namespace credits::http {

class ConnectionThreads {
 public:
  // Runs `task` on a thread of its own. Throws std::system_error if there can be none.
  void run(std::function<void()> task);

  // Returns when every task has ended. None may be added any more.
  void shut_down();

 private:
  using Threads = std::list<std::thread>;

  void work(Threads::iterator self);
  void join_ended(std::unique_lock<std::mutex>& lock);

  static constexpr std::chrono::seconds idle_thread_timeout{10};

  std::mutex mutex_;
  std::condition_variable changed_;
  std::queue<std::function<void()>> tasks_;  // guarded by mutex_; no more than there are idle ones
  std::size_t idle_ = 0;                     // guarded by mutex_
  Threads threads_;                          // guarded by mutex_
  Threads ended_;                            // guarded by mutex_; to be joined
  bool shutting_down_ = false;               // guarded by mutex_
};

}  // namespace credits::http
