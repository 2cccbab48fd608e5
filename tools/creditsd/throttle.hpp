// Keeps what happens again and again, as each call meets it during an outage, to a line a second of
// each kind. The first comes at once; what comes within a second of it is held back, and counted.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace credits::creditsd {

// Any thread.
class Throttle {
 public:
  using Time = std::chrono::steady_clock::time_point;

  struct Held {
    std::string name;
    std::string text;  // of the last one, and how many more there were
  };

  // Whether it is to be told now; if not, it is held back.
  bool passes(std::string_view name, const std::string& text, Time now);

  // Lets go of what has been held back since a second ago, or longer.
  std::vector<Held> take_due(Time now);
  std::vector<Held> take_all();

 private:
  struct Kind {
    Time told_at{};
    std::uint64_t held = 0;
    std::string text{};
  };

  static Held take(const std::string& name, Kind& kind);

  std::mutex mutex_;
  std::map<std::string, Kind, std::less<>> kinds_;  // guarded by mutex_; by name
};

}  // namespace credits::creditsd
