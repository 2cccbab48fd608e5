// What a store remembers of the installs that it met last, so that it need not look whether a
// mutation follows what it has: about 200 bytes each.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <memory_resource>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace credits::persistence {

// When one generation is full it becomes the old one, and the one before that is forgotten, all of
// its memory at once.
template <class Known>
class KnownInstalls {
 public:
  // It knows the last `installs_max` / 2 at least.
  explicit KnownInstalls(std::size_t installs_max)
      : generation_max_{std::max<std::size_t>(1, installs_max / 2)} {}

  // It stays where it is until make_room().
  Known& at(std::string_view id) {
    if (Known* const found = young_->find(id)) return *found;
    Known& added = young_->add(id);
    if (const Known* const old = old_->find(id)) added = *old;
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
    Known* find(std::string_view id) {
      const auto found = installs_.find(id);
      return found == installs_.end() ? nullptr : &found->second;
    }
    Known& add(std::string_view id) { return installs_[keep(id)]; }
    std::size_t size() const { return installs_.size(); }

   private:
    std::string_view keep(std::string_view id) {
      auto* const kept = static_cast<char*>(memory_.allocate(id.size(), alignof(char)));
      std::copy(id.begin(), id.end(), kept);
      return {kept, id.size()};
    }

    std::pmr::monotonic_buffer_resource memory_;
    std::pmr::unordered_map<std::string_view, Known> installs_{&memory_};
  };

  const std::size_t generation_max_;
  std::unique_ptr<Generation> young_ = std::make_unique<Generation>();
  std::unique_ptr<Generation> old_ = std::make_unique<Generation>();
};

}  // namespace credits::persistence
