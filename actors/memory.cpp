#include "actors/memory.hpp"

#include <algorithm>
#include <utility>

namespace credits::actors {

namespace {

constexpr std::size_t forget_at_least = 4;

}  // namespace

void Memory::start(std::optional<std::vector<ledger::Name>> stored, std::size_t names_max) {
  names_max_ = names_max;
  knows_all_ = stored.has_value();
  hashes_.clear();
  on_their_way_.clear();
  recalled_.clear();
  if (!stored) return;
  for (const ledger::Name& name : *stored) hashes_.push_back(ledger::NameHash{}(name));
  std::sort(hashes_.begin(), hashes_.end());
}

void Memory::add(const ledger::Entry& entry) {
  for (ledger::Name& name : ledger::names_of(entry)) {
    if (knows_all_) {
      const std::size_t hash = ledger::NameHash{}(name);
      hashes_.insert(std::upper_bound(hashes_.begin(), hashes_.end(), hash), hash);
      knows_all_ = hashes_.size() <= names_max_;
      if (!knows_all_) std::vector<std::size_t>{}.swap(hashes_);
    }
    recalled_.erase(name);
    newest_on_its_way_ = entry.version;
    on_their_way_.insert_or_assign(std::move(name), entry);
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

bool Memory::may_be_stored(const ledger::Name& name) const {
  return !knows_all_ ||
         std::binary_search(hashes_.begin(), hashes_.end(), ledger::NameHash{}(name));
}

bool Memory::knows(const ledger::Name& name) const {
  return on_their_way_.contains(name) || recalled_.contains(name) || !may_be_stored(name);
}

void Memory::learn(std::vector<ledger::Name> names,
                   std::vector<std::optional<ledger::Entry>> entries) {
  for (std::size_t i = 0; i < names.size(); ++i) {
    recalled_.insert_or_assign(std::move(names[i]), std::move(entries[i]));
  }
}

Remembered Memory::look_up(const std::vector<ledger::Name>& names) const {
  Remembered remembered;
  for (const ledger::Name& name : names) {
    if (const auto entry = on_their_way_.find(name); entry != on_their_way_.end()) {
      remembered.insert(*entry);
    } else if (const auto told = recalled_.find(name); told != recalled_.end() && told->second) {
      remembered.emplace(name, *told->second);
    }
  }
  return remembered;
}

}  // namespace credits::actors
