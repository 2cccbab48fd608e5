// Keeps what happens again and again, as each call meets it during an outage, to a line a second.
// The first comes at once; the same within a second of it is held back, and counted. What names
// different installs is not the same: of an event, each text has lines of its own. If there are too
// many texts, those beyond share the lines of their event.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
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

  // `texts_max`: how many there may be in a second, of all events, that have lines of their own.
  explicit Throttle(std::size_t texts_max) : texts_max_{texts_max} {}

  // Whether it is to be told now; if not, it is held back.
  bool passes(std::string_view name, const std::string& text, Time now);

  // Lets go of what has been held back since a second ago, or longer.
  std::vector<Held> take_due(Time now);
  std::vector<Held> take_all();

 private:
  using Key = std::pair<std::string, std::string>;  // a name and a text; "" for the texts beyond

  struct Kind {
    Time told_at{};
    std::uint64_t held = 0;
    std::string text{};  // of the last one that was held back
  };

  Kind& kind_of(std::string_view name, const std::string& text, Time now);
  void forget(Time now);
  static Held take(const std::string& name, Kind& kind);

  const std::size_t texts_max_;
  std::mutex mutex_;
  std::map<Key, Kind> kinds_;  // guarded by mutex_
};

}  // namespace credits::creditsd
