// Follows a quota that several nodes share: checks every other second whether another node has
// replaced it, on its own thread because a database may be slow to answer.
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

#include "http/api/quota_storage.hpp"

namespace credits::creditsd {

class QuotaFollower {
 public:
  explicit QuotaFollower(http::QuotaKeeper& quota);

 private:
  void follow(const std::stop_token& stop);
  void look();

  http::QuotaKeeper& quota_;
  std::string trouble_;  // already logged
  std::mutex mutex_;
  std::condition_variable_any stopped_;
  std::jthread thread_;  // last, because it uses the others
};

}  // namespace credits::creditsd
