#include "actors/memory.hpp"

#include <algorithm>
#include <utility>

#include "actors/base/assert.hpp"

namespace credits::actors {

namespace {

constexpr std::size_t forget_at_least = 4;

}  // namespace

void Memory::start(std::optional<std::vector<ledger::ReplayKey>> stored,
                   std::size_t replay_keys_max) {
  replay_keys_max_ = replay_keys_max;
  knows_all_ = stored.has_value();
  hashes_.clear();
  on_their_way_.clear();
  recalled_.clear();
  if (!stored) return;
  for (const ledger::ReplayKey& key : *stored) hashes_.push_back(ledger::ReplayKeyHash{}(key));
  std::sort(hashes_.begin(), hashes_.end());
}

void Memory::add(const ledger::Entry& entry) {
  for (ledger::ReplayKey& key : ledger::replay_keys_of(entry)) {
    if (knows_all_) {
      const std::size_t hash = ledger::ReplayKeyHash{}(key);
      hashes_.insert(std::upper_bound(hashes_.begin(), hashes_.end(), hash), hash);
      knows_all_ = hashes_.size() <= replay_keys_max_;
      if (!knows_all_) std::vector<std::size_t>{}.swap(hashes_);
    }
    recalled_.erase(key);
    newest_on_its_way_ = entry.version;
    on_their_way_.insert_or_assign(std::move(key), entry);
  }
}

void Memory::forget_stored(std::uint64_t durable_version) {
  if (on_their_way_.empty()) return;
  if (newest_on_its_way_ <= durable_version) return on_their_way_.clear();
  if (on_their_way_.size() < forget_at_) return;
  std::erase_if(on_their_way_,
                [&](const auto& known) { return known.second.version <= durable_version; });
  forget_at_ = std::max(forget_at_least, 2 * on_their_way_.size());
}

bool Memory::may_be_stored(const ledger::ReplayKey& key) const {
  return !knows_all_ ||
         std::binary_search(hashes_.begin(), hashes_.end(), ledger::ReplayKeyHash{}(key));
}

bool Memory::knows(const ledger::ReplayKey& key) const {
  return on_their_way_.contains(key) || recalled_.contains(key) || !may_be_stored(key);
}

void Memory::learn(std::vector<ledger::ReplayKey> replay_keys,
                   std::vector<std::optional<ledger::Entry>> entries) {
  CREDITS_EXPECTS(entries.size() == replay_keys.size());
  for (std::size_t i = 0; i < replay_keys.size(); ++i) {
    recalled_.insert_or_assign(std::move(replay_keys[i]), std::move(entries[i]));
  }
}

Remembered Memory::look_up(const std::vector<ledger::ReplayKey>& replay_keys) const {
  Remembered remembered;
  for (const ledger::ReplayKey& key : replay_keys) {
    if (const auto entry = on_their_way_.find(key); entry != on_their_way_.end()) {
      remembered.insert(*entry);
    } else if (const auto recalled = recalled_.find(key); recalled != recalled_.end()) {
      if (recalled->second) remembered.emplace(key, *recalled->second);
    } else {
      CREDITS_EXPECTS(!may_be_stored(key));
    }
  }
  return remembered;
}

}  // namespace credits::actors
