#include "actors/figures/entries.hpp"

#include <algorithm>

namespace credits::actors {

void StoredEntries::add(const ledger::Entry& entry) {
  ++by_kind[static_cast<std::size_t>(entry.kind)];
  const bool is_commit = entry.kind == ledger::EntryKind::commit;
  if (!is_commit && entry.kind != ledger::EntryKind::settle) return;
  const ledger::Backend backend = entry.backend.value();
  auto found = std::find_if(debits.begin(), debits.end(), [&](const DebitsOfTier& of) {
    return of.backend == backend && of.tier == entry.tier;
  });
  if (found == debits.end()) found = debits.insert(found, {entry.tier, backend});
  found->commits += is_commit ? 1 : 0;
  found->credits += static_cast<std::uint64_t>(entry.credits);
}

}  // namespace credits::actors
