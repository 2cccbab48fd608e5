#include "http/connection_threads.hpp"

namespace credits::http {

namespace {

thread_local bool shedding = false;

}  // namespace

bool ConnectionThreads::is_shedding() { return shedding; }

ConnectionThreads::Enqueued ConnectionThreads::enqueue(std::function<void()> task) {
  if (!take_up(task)) {
    shedding = true;
    task();
    shedding = false;
  }
  return static_cast<Enqueued>(true);
}

bool ConnectionThreads::take_up(std::function<void()>& task) {
  std::unique_lock lock{mutex_};
  join_ended(lock);
  if (tasks_.size() < idle_) {
    tasks_.push(std::move(task));
    changed_.notify_one();
    return true;
  }
  if (threads_.size() >= threads_max_) return false;
  tasks_.push(std::move(task));
  ++idle_;
  const auto place = threads_.emplace(threads_.end());
  *place = std::thread{[this, place] { work(place); }};
  return true;
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

void ConnectionThreads::shutdown() {
  std::unique_lock lock{mutex_};
  shutting_down_ = true;
  changed_.notify_all();
  lock.unlock();
  end_all_();
  lock.lock();
  changed_.wait(lock, [this] { return threads_.empty(); });
  join_ended(lock);
}

}  // namespace credits::http
