// Makes writing or opening files of this program fail on command: what a disk does that has no
// room, or that may only be read.
#pragma once

#include <string>

namespace credits::tests {

// While it lives, a write to a file whose path contains `name` fails with `error`. One at a time.
class RefusingDisk {
 public:
  RefusingDisk(const std::string& name, int error);
  ~RefusingDisk();
  RefusingDisk(const RefusingDisk&) = delete;
  RefusingDisk& operator=(const RefusingDisk&) = delete;
};

// While it lives, SQLite opens a file whose path ends with `name` for reading or not at all. One at
// a time.
class ReadOnlyFile {
 public:
  explicit ReadOnlyFile(const std::string& name);
  ~ReadOnlyFile();
  ReadOnlyFile(const ReadOnlyFile&) = delete;
  ReadOnlyFile& operator=(const ReadOnlyFile&) = delete;
};

}  // namespace credits::tests
