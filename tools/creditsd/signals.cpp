#include "tools/creditsd/signals.hpp"

#include <pthread.h>

#include <csignal>
#include <cstdlib>
#include <ctime>
#include <system_error>
#include <utility>

#include "tools/creditsd/log.hpp"
#include "tools/creditsd/manager.hpp"

namespace credits::creditsd {

namespace {

constexpr int end_error = 1;

// Ignore a second signal within this time: a terminal and the script that started the program both
// pass on the same Ctrl-C.
constexpr std::chrono::seconds same_wish{1};

// Reading a file on a mount that does not respond cannot be cancelled. Only the reload waits for
// it.
constexpr std::chrono::seconds reload_slow_after{10};

sigset_t handled_signals() {
  sigset_t signals;
  ::sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) ::sigaddset(&signals, signal);
  return signals;
}

}  // namespace

void block_handled_signals() {
  const sigset_t signals = handled_signals();
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

Signals::~Signals() {
  {
    const std::lock_guard lock{mutex_};
    is_done_ = true;
  }
  ::pthread_kill(thread_.native_handle(), SIGHUP);  // wakes the thread
  thread_.join();
}

void Signals::attend(Service service, const std::function<void()>& serve) {
  struct Attended {
    Signals& signals;
    ~Attended() { signals.detach(); }
  };
  {
    const std::lock_guard lock{mutex_};
    service_ = std::move(service);
    reload_if_wanted();
  }
  const Attended attended{*this};
  serve();
}

// Waits for a running reload, which uses the service's objects.
void Signals::detach() {
  std::future<void> reload;
  {
    const std::lock_guard lock{mutex_};
    begin_end("reloading the files");
    service_.reset();
    reload = std::move(reload_);
  }
  if (reload.valid()) reload.wait();
}

void Signals::ending(const char* step) {
  const std::lock_guard lock{mutex_};
  begin_end(step);
}

void Signals::begin_end(const char* step) {
  if (!step_) ends_by_ = std::chrono::steady_clock::now() + end_max;
  step_ = step;
}

void Signals::hear() {
  constexpr timespec second{1, 0};
  const sigset_t signals = handled_signals();
  while (true) {
    const int signal = ::sigtimedwait(&signals, nullptr, &second);
    const std::lock_guard lock{mutex_};
    if (is_done_) return;
    if (signal == SIGHUP) is_reload_wanted_ = true;
    if (signal == SIGTERM) end("SIGTERM");
    if (signal == SIGINT) end("SIGINT");
    if (service_) {
      reload_if_wanted();
      log_slow_reload();
      service_->look();
    }
    log_what_was_held_back();
    give_up_if_due();
  }
}

void Signals::end(const std::string& signal) {
  if (step_) {
    if (std::chrono::steady_clock::now() < ends_by_ - end_max + same_wish) return;
    log_error("stopped_at_once", signal + " during shutdown: unfinished step: " + step_);
    flush_log_and_exit(end_error);
  }
  notify_manager("STOPPING=1\nSTATUS=finishing the requests in flight");
  if (!service_) {
    log_info("stopped", signal + " during startup: nothing had been answered");
    flush_log_and_exit(EXIT_SUCCESS);
  }
  log_info("stopping", signal + ": finishing the requests in flight");
  begin_end("answering the requests in flight");
  service_->stop();
}

void Signals::give_up_if_due() {
  if (!step_ || std::chrono::steady_clock::now() < ends_by_) return;
  log_error("stopped_unfinished", "shutdown has taken " + std::to_string(end_max.count()) +
                                      " s: unfinished step: " + step_ +
                                      "; unanswered requests may or may not have taken effect");
  flush_log_and_exit(end_error);
}

void Signals::reload_if_wanted() {
  const bool is_busy =
      reload_.valid() && reload_.wait_for(std::chrono::seconds{0}) != std::future_status::ready;
  if (!is_reload_wanted_ || is_busy) return;
  is_reload_wanted_ = false;
  try {
    reload_ = std::async(std::launch::async, service_->reload);
    reload_slow_at_ = std::chrono::steady_clock::now() + reload_slow_after;
  } catch (const std::system_error& error) {
    log_error("reload_failed", std::string{"SIGHUP: cannot start a thread: "} + error.what());
  }
}

void Signals::log_slow_reload() {
  if (!reload_slow_at_) return;
  if (reload_.wait_for(std::chrono::seconds{0}) == std::future_status::ready) {
    reload_slow_at_.reset();
  } else if (std::chrono::steady_clock::now() > *reload_slow_at_) {
    reload_slow_at_.reset();
    log_warning("reload_slow",
                "SIGHUP: reloading the files takes more than " +
                    std::to_string(reload_slow_after.count()) +
                    " s; the previous values stay in force, and further SIGHUPs wait: "
                    "check the disk or mount of quota, token and TLS files");
  }
}

}  // namespace credits::creditsd
