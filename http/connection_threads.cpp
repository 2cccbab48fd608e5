#include "http/connection_threads.hpp"

#include <utility>

namespace credits::http {

void ConnectionThreads::run(std::function<void()> task) {
  std::unique_lock lock{mutex_};
  join_ended(lock);
  if (tasks_.size() < idle_) {
    tasks_.push(std::move(task));
    changed_.notify_one();
    return;
  }
  const auto place = threads_.emplace(threads_.end());
  try {
    *place = std::thread{[this, place] { work(place); }};
  } catch (...) {
    threads_.erase(place);
    throw;
  }
  tasks_.push(std::move(task));
  ++idle_;
}

void ConnectionThreads::work(Threads::iterator self) {
  std::unique_lock lock{mutex_};
  while (changed_.wait_for(lock, idle_thread_timeout, [this] {
    return !tasks_.empty() || shutting_down_;
  }) && !tasks_.empty()) {
    const auto task = std::move(tasks_.front());
    tasks_.pop();
    --idle_;
    lock.unlock();
    task();
    lock.lock();
    ++idle_;
  }
  --idle_;
  ended_.splice(ended_.end(), threads_, self);
  changed_.notify_all();
}

void ConnectionThreads::join_ended(std::unique_lock<std::mutex>& lock) {
  Threads ended;
  ended.swap(ended_);
  lock.unlock();
  for (std::thread& thread : ended) thread.join();
  lock.lock();
}

void ConnectionThreads::shut_down() {
  std::unique_lock lock{mutex_};
  shutting_down_ = true;
  changed_.notify_all();
  changed_.wait(lock, [this] { return threads_.empty(); });
  join_ended(lock);
}

}  // namespace credits::http
