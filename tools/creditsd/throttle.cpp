#include "tools/creditsd/throttle.hpp"

#include <utility>

namespace credits::creditsd {

namespace {

constexpr std::chrono::seconds interval{1};

}  // namespace

bool Throttle::passes(std::string_view name, const std::string& text, Time now) {
  const std::lock_guard lock{mutex_};
  const auto [found, is_new] = kinds_.try_emplace(std::string{name});
  Kind& kind = found->second;
  if (is_new || (kind.held == 0 && now - kind.told_at >= interval)) {
    kind.told_at = now;
    return true;
  }
  ++kind.held;
  kind.text = text;
  return false;
}

std::vector<Throttle::Held> Throttle::take_due(Time now) {
  std::vector<Held> due;
  const std::lock_guard lock{mutex_};
  for (auto& [name, kind] : kinds_) {
    if (kind.held == 0 || now - kind.told_at < interval) continue;
    kind.told_at = now;
    due.push_back(take(name, kind));
  }
  return due;
}

std::vector<Throttle::Held> Throttle::take_all() {
  std::vector<Held> all;
  const std::lock_guard lock{mutex_};
  for (auto& [name, kind] : kinds_) {
    if (kind.held > 0) all.push_back(take(name, kind));
  }
  return all;
}

Throttle::Held Throttle::take(const std::string& name, Kind& kind) {
  Held held{name, std::exchange(kind.text, {})};
  const std::uint64_t more = std::exchange(kind.held, 0) - 1;
  if (more > 0) held.text += " (and " + std::to_string(more) + " more in the last second)";
  return held;
}

}  // namespace credits::creditsd
