// Shows ThreadSanitizer the order that CAF's library imposes. Debian builds that library without
// the sanitizer, which therefore sees none of its atomics and would report every message between
// two threads as a data race. These definitions stand before the library's: they do what it does,
// and tell the sanitizer which step precedes which.
#include <dlfcn.h>
#include <sanitizer/tsan_interface.h>

#include <caf/all.hpp>

namespace {

template <class Function>
Function* in_library(const char* symbol) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, symbol));
}

}  // namespace

namespace caf {

// A message happens before the handler that gets it.

void scheduled_actor::enqueue(mailbox_element_ptr element, execution_unit* context) {
  static const auto original =
      in_library<void(scheduled_actor*, mailbox_element_ptr, execution_unit*)>(
          "_ZN3caf15scheduled_actor7enqueueESt10unique_ptrINS_15mailbox_elementENS_"
          "6detail8disposerEEPNS_14execution_"
          "unitE");
  __tsan_release(element.get());
  __tsan_release(this);
  original(this, std::move(element), context);
}

scheduled_actor::activation_result scheduled_actor::reactivate(mailbox_element& element) {
  static const auto original = in_library<activation_result(scheduled_actor*, mailbox_element&)>(
      "_ZN3caf15scheduled_actor10reactivateERNS_15mailbox_elementE");
  __tsan_acquire(&element);
  const activation_result result = original(this, element);
  __tsan_release(this);
  return result;
}

void blocking_actor::enqueue(mailbox_element_ptr element, execution_unit* context) {
  static const auto original =
      in_library<void(blocking_actor*, mailbox_element_ptr, execution_unit*)>(
          "_ZN3caf14blocking_actor7enqueueESt10unique_ptrINS_15mailbox_elementENS_"
          "6detail8disposerEEPNS_14execution_"
          "unitE");
  __tsan_release(element.get());
  original(this, std::move(element), context);
}

intrusive::task_result blocking_actor::mailbox_visitor::operator()(mailbox_element& element) {
  static const auto original =
      in_library<intrusive::task_result(mailbox_visitor*, mailbox_element&)>(
          "_ZN3caf14blocking_actor15mailbox_visitorclERNS_15mailbox_elementE");
  __tsan_acquire(&element);
  return original(this, element);
}

// An actor runs on one thread at a time, after it was spawned; its end throws away the messages
// that are left.

void scheduled_actor::launch(execution_unit* context, bool lazy, bool hide) {
  static const auto original = in_library<void(scheduled_actor*, execution_unit*, bool, bool)>(
      "_ZN3caf15scheduled_actor6launchEPNS_14execution_unitEbb");
  __tsan_release(this);
  original(this, context, lazy, hide);
}

bool scheduled_actor::activate(execution_unit* context) {
  static const auto original = in_library<bool(scheduled_actor*, execution_unit*)>(
      "_ZN3caf15scheduled_actor8activateEPNS_14execution_unitE");
  __tsan_acquire(this);
  const bool activated = original(this, context);
  __tsan_release(this);
  return activated;
}

bool scheduled_actor::cleanup(error&& reason, execution_unit* context) {
  static const auto original = in_library<bool(scheduled_actor*, error&&, execution_unit*)>(
      "_ZN3caf15scheduled_actor7cleanupEONS_5errorEPNS_14execution_unitE");
  __tsan_acquire(this);
  return original(this, std::move(reason), context);
}

// Whoever gives a reference back is done before the object goes.

void ref_counted::deref() const noexcept {
  if (unique()) return request_deletion(false);
  if (rc_.fetch_sub(1, std::memory_order_acq_rel) == 1) request_deletion(true);
}

void intrusive_ptr_release_weak(actor_control_block* block) {
  if (block->weak_refs == 1 || block->weak_refs.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    block->block_dtor(block);
  }
}

void intrusive_ptr_release(actor_control_block* block) {
  if (block->strong_refs.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  block->data_dtor(block->get());
  intrusive_ptr_release_weak(block);
}

}  // namespace caf
