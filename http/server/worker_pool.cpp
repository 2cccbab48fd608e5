#include "http/server/worker_pool.hpp"

#include <utility>

namespace credits::http {

WorkerPool::WorkerPool(std::size_t threads, std::size_t tasks_waiting_max)
    : tasks_waiting_max_{tasks_waiting_max} {
  try {
    for (std::size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
  } catch (...) {
    end();
    throw;
  }
}

WorkerPool::~WorkerPool() { end(); }

// Waiting tasks are still run.
void WorkerPool::end() {
  {
    const std::lock_guard lock{mutex_};
    is_ending_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void WorkerPool::run(std::function<void()> task) {
  const std::lock_guard lock{mutex_};
  tasks_.push(std::move(task));
  changed_.notify_one();
}

bool WorkerPool::try_run(std::function<void()> task) {
  const std::lock_guard lock{mutex_};
  if (tasks_.size() >= tasks_waiting_max_) return false;
  tasks_.push(std::move(task));
  changed_.notify_one();
  return true;
}

void WorkerPool::work() {
  std::unique_lock lock{mutex_};
  while (true) {
    changed_.wait(lock, [this] { return is_ending_ || !tasks_.empty(); });
    if (tasks_.empty()) return;
    std::function<void()> task = std::move(tasks_.front());
    tasks_.pop();
    lock.unlock();
    task();
    task = nullptr;  // destroying it may take a while
    lock.lock();
  }
}

}  // namespace credits::http
