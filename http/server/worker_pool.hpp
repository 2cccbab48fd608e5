// A fixed number of threads for the calls that block: snapshots, imports, long listings.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <queue>
#include <thread>
#include <vector>

namespace credits::http {

// Thread-safe.
class WorkerPool {
 public:
  // Throws std::system_error if a thread cannot be started.
  WorkerPool(std::size_t threads, std::size_t tasks_waiting_max);
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // Runs `task` on one of the threads. `task` must not throw.
  void run(std::function<void()> task);
  // The same; false, without running `task`, if `tasks_waiting_max` tasks wait already.
  bool try_run(std::function<void()> task);

 private:
  void work();
  void end();

  const std::size_t tasks_waiting_max_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::queue<std::function<void()>> tasks_;  // guarded by mutex_
  bool is_ending_ = false;                   // guarded by mutex_
  std::vector<std::thread> threads_;
};

}  // namespace credits::http
