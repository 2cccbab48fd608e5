#include "http/codec/names.hpp"

#include "actors/base/text.hpp"
#include "http/codec/problem.hpp"

namespace credits::http::codec {

std::string_view name_of(ledger::Backend backend) {
  return backend == ledger::Backend::gemini ? "gemini" : "hardware";
}

std::string_view name_of(ledger::Counter counter) {
  return counter == ledger::Counter::lifetime ? "lifetime" : "monthly";
}

std::string_view name_of(ledger::Denial denial) {
  return denial == ledger::Denial::out_of_credits ? "out_of_credits"
                                                  : "gemini_cap_exceeded_no_hardware";
}

std::string_view name_of(ledger::EntryKind kind) {
  switch (kind) {
    case ledger::EntryKind::create:
      return "create";
    case ledger::EntryKind::import:
      return "import";
    case ledger::EntryKind::commit:
      return "commit";
    case ledger::EntryKind::reserve:
      return "reserve";
    case ledger::EntryKind::settle:
      return "settle";
    case ledger::EntryKind::release:
      return "release";
    case ledger::EntryKind::expire:
      return "expire";
  }
  return "unknown";
}

std::optional<std::string> fault_of_tier(std::string_view tier) {
  if (tier.size() <= tier_bytes_max && base::is_text(tier)) return std::nullopt;
  return "a tier has at most " + std::to_string(tier_bytes_max) +
         " bytes of UTF-8 without NUL; \"" + base::printable(tier) + "\" is invalid";
}

}  // namespace credits::http::codec
