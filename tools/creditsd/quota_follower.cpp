#include "tools/creditsd/quota_follower.hpp"

#include <chrono>

#include "tools/creditsd/log.hpp"

namespace credits::creditsd {

namespace {

constexpr std::chrono::seconds interval{2};  // the contract allows 5

}  // namespace

QuotaFollower::QuotaFollower(http::QuotaKeeper& quota)
    : quota_{quota}, thread_{[this](const std::stop_token& stop) { follow(stop); }} {}

void QuotaFollower::follow(const std::stop_token& stop) {
  std::unique_lock lock{mutex_};
  while (!stopped_.wait_for(lock, stop, interval, [&] { return stop.stop_requested(); })) look();
}

void QuotaFollower::look() {
  try {
    if (quota_.reload()) log_info("quota_changed", "another node has replaced the quota");
    trouble_.clear();
  } catch (const http::QuotaStorageError& error) {
    if (trouble_ == error.what()) return;
    trouble_ = error.what();
    log_warning("quota_unknown", "the quota stays as it is: " + trouble_);
  }
}

}  // namespace credits::creditsd
