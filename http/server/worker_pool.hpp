// A few threads for the calls that block by their nature: a snapshot, an import, a long listing.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <queue>
#include <thread>
#include <vector>

namespace credits::http {

class WorkerPool {
 public:
  // Throws std::system_error if it cannot have so many threads.
  WorkerPool(std::size_t threads, std::size_t tasks_waiting_max);
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // Has one of the threads run `task`, which must not throw.
  void run(std::function<void()> task);
  // The same; false if too many tasks wait already.
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
