// Handles SIGTERM, SIGINT and SIGHUP for the whole life of the program, whatever its other threads
// wait for, and forces its end if shutdown takes too long.
//
//   startup   SIGTERM ends the program at once, with status 0: nothing has been answered
//   serving   SIGTERM stops the service, which answers the requests in flight
//   shutdown  another SIGTERM, at least a second later, ends it at once, with status 1; so does
//             end_max
//
// SIGINT acts like SIGTERM. SIGHUP reloads; during startup it is kept until the service runs.
#pragma once

#include <chrono>
#include <functional>
#include <future>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

namespace credits::creditsd {

// The limit for shutdown: 30 s for the outstanding answers, the longest that one can take, 10 s to
// send them, and 10 s for the actors to write. Must be below the unit's TimeoutStopSec.
inline constexpr std::chrono::seconds end_max{50};

// Blocks them in this thread and in those it starts. Call it before any thread starts.
void block_handled_signals();

class Signals {
 public:
  // stop() and look() must return at once; reload() runs on its own thread and may take long.
  struct Service {
    std::function<void()> stop;
    std::function<void()> reload;
    std::function<void()> look;  // each second
  };

  Signals() : thread_{[this] { hear(); }} {}
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  // Runs `serve`; meanwhile, signals act on `service`.
  void attend(Service service, const std::function<void()>& serve);

  // The first call begins the shutdown. `step` names its current step; must be a literal.
  void ending(const char* step);

 private:
  void hear();
  void end(const std::string& signal);
  void give_up_if_due();
  void reload_if_wanted();
  void log_slow_reload();
  void detach();
  void begin_end(const char* step);

  std::mutex mutex_;  // guards everything below except thread_
  std::optional<Service> service_;
  std::future<void> reload_;                                             // running, or done
  std::optional<std::chrono::steady_clock::time_point> reload_slow_at_;  // none: logged, or done
  bool is_reload_wanted_ = false;
  const char* step_ = nullptr;  // nullptr: not shutting down
  std::chrono::steady_clock::time_point ends_by_{};
  bool is_done_ = false;
  std::thread thread_;  // last, because it uses the others
};

// Announces a shutdown step when its scope ends.
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
