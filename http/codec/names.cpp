#include "http/codec/names.hpp"

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

}  // namespace credits::http::codec
