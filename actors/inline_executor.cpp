#include "actors/inline_executor.hpp"

#include <cstddef>

namespace credits::actors {

namespace {

constexpr std::size_t messages_at_once = 64;

}  // namespace

void InlineExecutor::run() {
  while (!ready_.empty()) {
    caf::resumable* const actor = ready_.back();
    ready_.pop_back();
    if (actor->resume(this, messages_at_once) == caf::resumable::resume_later) {
      system().scheduler().enqueue(actor);
    } else {
      caf::intrusive_ptr_release(actor);
    }
  }
}

}  // namespace credits::actors
