// Hears SIGTERM, SIGINT and SIGHUP from the first moment of the program to its last, whatever its
// other threads wait for, and ends it where it does not come to its end by itself.
//
//   while it starts  SIGTERM ends it at once, with status 0: nothing has been answered
//   while it serves  SIGTERM stops the service, which answers what is in flight
//   while it ends    another SIGTERM, a second later or more, ends it at once, with status 1; so
//                    does end_max
//
// SIGINT is as SIGTERM. SIGHUP reloads; one that comes before the service does is kept for it.
#pragma once

#include <chrono>
#include <functional>
#include <future>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

namespace credits::creditsd {

// How long the end may take: 30 s for the answers that are still to come, as each waits so long at
// most, 10 s to send them, and 10 s for the actors to write. Below TimeoutStopSec of the unit.
inline constexpr std::chrono::seconds end_max{50};

// Of this thread and those that it will start. To be called before any is.
void block_handled_signals();

class Signals {
 public:
  // stop() and look() return at once; reload() may take its time, on a thread of its own.
  struct Service {
    std::function<void()> stop;
    std::function<void()> reload;
    std::function<void()> look;  // each second
  };

  Signals() : thread_{[this] { hear(); }} {}
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  // Runs `serve`, with `service` for the signals.
  void attend(Service service, const std::function<void()>& serve);

  // From the first call on, the program is ending; `step` is what it does now: a literal.
  void ending(const char* step);

 private:
  void hear();
  void end(const std::string& signal);
  void give_up_if_due();
  void reload_if_wanted();
  void tell_slow_reload();
  void detach();
  void begin_end(const char* step);

  std::mutex mutex_;  // guards all below but thread_
  std::optional<Service> service_;
  std::future<void> reload_;                                             // under way, or done
  std::optional<std::chrono::steady_clock::time_point> reload_slow_at_;  // none: told, or done
  bool is_reload_wanted_ = false;
  const char* step_ = nullptr;  // none: it is not ending
  std::chrono::steady_clock::time_point ends_by_{};
  bool is_done_ = false;
  std::thread thread_;  // the last, as it uses the others
};

// Tells, as its scope ends, what comes then.
class Ending {
 public:
  Ending(Signals& signals, const char* step) : signals_{signals}, step_{step} {}
  ~Ending() { signals_.ending(step_); }
  Ending(const Ending&) = delete;
  Ending& operator=(const Ending&) = delete;

 private:
  Signals& signals_;
  const char* step_;
};

}  // namespace credits::creditsd
