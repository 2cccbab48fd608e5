// Makes fsync() and fdatasync() fail in this program on command, as on a broken disk.
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
