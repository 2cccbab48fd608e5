// A random generator for tests: the same seed gives the same values.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <random>

namespace credits::tests {

template <class Engine>
class Dice {
 public:
  explicit Dice(std::uint32_t seed) : random_{seed} {}

  int pick(int min, int max) { return std::uniform_int_distribution{min, max}(random_); }
  bool chance(int percent) { return pick(1, 100) <= percent; }

  template <class List>
  const auto& one_of(const List& list) {
    return list[static_cast<std::size_t>(pick(0, static_cast<int>(std::size(list)) - 1))];
  }

  // One of the last `count` items.
  template <class List>
  const auto& recent(const List& list, int count) {
    const int size = static_cast<int>(std::size(list));
    return list[static_cast<std::size_t>(pick(std::max(0, size - count), size - 1))];
  }

 private:
  Engine random_;
};

}  // namespace credits::tests
