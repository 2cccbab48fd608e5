// Follows a quota that several nodes share: looks every other second whether another node has
// replaced it. A thread of its own, as a database may take long to answer.
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

#include "http/quota_home.hpp"

namespace credits::creditsd {

class QuotaFollower {
 public:
  explicit QuotaFollower(http::QuotaKeeper& quota);

 private:
  void follow(const std::stop_token& stop);
  void look();

  http::QuotaKeeper& quota_;
  std::string trouble_;  // that has been told of
  std::mutex mutex_;
  std::condition_variable_any stopped_;
  std::jthread thread_;  // the last, as it uses the others
};

}  // namespace credits::creditsd
