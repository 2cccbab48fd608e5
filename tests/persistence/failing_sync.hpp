// Makes fsync() and fdatasync() of this program fail on command: what a broken disk does.
#pragma once

namespace credits::tests {

class FailingSync {
 public:
  FailingSync();
  ~FailingSync();
  FailingSync(const FailingSync&) = delete;
  FailingSync& operator=(const FailingSync&) = delete;
};

}  // namespace credits::tests
