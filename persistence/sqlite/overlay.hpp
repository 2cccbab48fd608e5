// Rows that are in the journal but not yet in snapshots.db. They are looked up by the ids that they
// contain: there are hundreds of thousands, so each id is stored once.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "persistence/sqlite/snapshots.hpp"

namespace credits::persistence {

class Overlay {
 public:
  bool empty() const { return rows_.empty(); }
  std::size_t size() const { return rows_.size(); }
  auto begin() const { return rows_.begin(); }
  auto end() const { return rows_.end(); }

  // Returns null if there is none.
  const PendingRow* find(std::string_view id) const {
    const auto found = rows_.find(id);
    return found == rows_.end() ? nullptr : found->get();
  }

  // Creates the row if it is missing. Its address and its id never change.
  PendingRow& at(const std::string& id) {
    if (const auto found = rows_.find(id); found != rows_.end()) return **found;
    auto added = std::make_unique<PendingRow>();
    added->stored.row.install_id = id;
    return **rows_.insert(std::move(added)).first;
  }

 private:
  static std::string_view id_of(std::string_view id) { return id; }
  static std::string_view id_of(const std::unique_ptr<PendingRow>& pending) {
    return pending->stored.row.install_id;
  }

  struct HashOfId {
    using is_transparent = void;
    template <class Key>
    std::size_t operator()(const Key& key) const {
      return std::hash<std::string_view>{}(id_of(key));
    }
  };
  struct SameId {
    using is_transparent = void;
    template <class A, class B>
    bool operator()(const A& a, const B& b) const {
      return id_of(a) == id_of(b);
    }
  };

  std::unordered_set<std::unique_ptr<PendingRow>, HashOfId, SameId> rows_;
};

}  // namespace credits::persistence
