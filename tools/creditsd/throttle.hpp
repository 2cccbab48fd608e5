// Limits repeated events, such as the same failure of every call during an outage, to one line a
// second. Passes the first at once; holds back and counts repeats within a second. Events with
// different texts, such as those that name different installs, have separate lines; beyond a limit
// of texts, those of one event share a line.
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

// Thread-safe.
class Throttle {
 public:
  using Time = std::chrono::steady_clock::time_point;

  struct Held {
    std::string name;
    std::string text;  // the last one's, with the number of the others
  };

  // `texts_max`: number of texts per second, over all events, that have separate lines.
  explicit Throttle(std::size_t texts_max) : texts_max_{texts_max} {}

  // Returns whether to log the event now; otherwise holds it back.
  bool passes(std::string_view name, const std::string& text, Time now);

  // Returns the events held back whose last line is at least a second old.
  std::vector<Held> take_due(Time now);
  std::vector<Held> take_all();

 private:
  using Key =
      std::pair<std::string, std::string>;  // a name and a text; "" for the texts beyond the limit

  struct Kind {
    Time logged_at{};
    std::uint64_t held = 0;
    std::string text{};  // of the last one held back
  };

  Kind& kind_of(std::string_view name, const std::string& text, Time now);
  void forget(Time now);
  static Held take(const std::string& name, Kind& kind);

  const std::size_t texts_max_;
  std::mutex mutex_;
  std::map<Key, Kind> kinds_;  // guarded by mutex_
};

}  // namespace credits::creditsd
