#include "tools/creditsd/throttle.hpp"

namespace credits::creditsd {

namespace {

constexpr std::chrono::seconds interval{1};

}  // namespace

bool Throttle::passes(std::string_view name, const std::string& text, Time now) {
  const std::lock_guard lock{mutex_};
  Kind& kind = kind_of(name, text, now);
  if (kind.logged_at == Time{} || (kind.held == 0 && now - kind.logged_at >= interval)) {
    kind.logged_at = now;
    return true;
  }
  ++kind.held;
  kind.text = text;
  return false;
}

Throttle::Kind& Throttle::kind_of(std::string_view name, const std::string& text, Time now) {
  const Key key{name, text};
  if (const auto found = kinds_.find(key); found != kinds_.end()) return found->second;
  if (kinds_.size() >= texts_max_) forget(now);
  const bool has_room = kinds_.size() < texts_max_;
  return kinds_[has_room ? key : Key{name, ""}];
}

// Forgets kinds that would pass at once if they occurred again.
void Throttle::forget(Time now) {
  std::erase_if(kinds_, [now](const auto& item) {
    return item.second.held == 0 && now - item.second.logged_at >= interval;
  });
}

std::vector<Throttle::Held> Throttle::take_due(Time now) {
  std::vector<Held> due;
  const std::lock_guard lock{mutex_};
  for (auto& [key, kind] : kinds_) {
    if (kind.held == 0 || now - kind.logged_at < interval) continue;
    kind.logged_at = now;
    due.push_back(take(key.first, kind));
  }
  forget(now);
  return due;
}

std::vector<Throttle::Held> Throttle::take_all() {
  std::vector<Held> all;
  const std::lock_guard lock{mutex_};
  for (auto& [key, kind] : kinds_) {
    if (kind.held > 0) all.push_back(take(key.first, kind));
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
