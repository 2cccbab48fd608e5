// What a store remembers of the installs that were written last, so that it need not look at its
// files whether a mutation follows what they have: about 200 bytes each.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <memory_resource>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "persistence/chain.hpp"
#include "persistence/snapshots.hpp"

namespace credits::persistence {

// An install's newest entry in the journal.
struct Head {
  std::uint64_t version = 0;
  std::uint64_t sequence = 0;
  std::optional<Hash> hash{};
};

struct KnownInstall {
  Head head{};
  bool has_head = false;    // it has been looked for, or written
  std::uint32_t place = 0;  // in the append of this number
  std::uint64_t append_number = 0;
  PendingRow* pending = nullptr;  // in the overlay of this number
  std::uint64_t overlay_number = 0;
};

// When one generation is full it becomes the old one, and the one before that is forgotten, all of
// its memory at once.
class KnownInstalls {
 public:
  // It knows the last `installs_max` / 2 at least.
  explicit KnownInstalls(std::size_t installs_max)
      : generation_max_{std::max<std::size_t>(1, installs_max / 2)} {}

  // It stays where it is until make_room().
  KnownInstall& at(std::string_view id) {
    if (KnownInstall* const found = young_->find(id)) return *found;
    KnownInstall& added = young_->add(id);
    if (const KnownInstall* const old = old_->find(id)) added = *old;
    return added;
  }

  void make_room() {
    if (young_->size() > generation_max_) {
      old_ = std::exchange(young_, std::make_unique<Generation>());
    }
  }

 private:
  class Generation {
   public:
    KnownInstall* find(std::string_view id) {
      const auto found = installs_.find(id);
      return found == installs_.end() ? nullptr : &found->second;
    }
    KnownInstall& add(std::string_view id) { return installs_[keep(id)]; }
    std::size_t size() const { return installs_.size(); }

   private:
    std::string_view keep(std::string_view id) {
      auto* const kept = static_cast<char*>(memory_.allocate(id.size(), alignof(char)));
      std::copy(id.begin(), id.end(), kept);
      return {kept, id.size()};
    }

    std::pmr::monotonic_buffer_resource memory_;
    std::pmr::unordered_map<std::string_view, KnownInstall> installs_{&memory_};
  };

  const std::size_t generation_max_;
  std::unique_ptr<Generation> young_ = std::make_unique<Generation>();
  std::unique_ptr<Generation> old_ = std::make_unique<Generation>();
};

}  // namespace credits::persistence
