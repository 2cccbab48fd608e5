// Makes writing or opening files fail in this program on command, as on a full or read-only disk.
#pragma once

#include <string>

namespace credits::tests {

// During its lifetime, a write to a file whose path contains `name` fails with `error`. One object
// at a time.
class RefusingDisk {
 public:
  RefusingDisk(const std::string& name, int error);
  ~RefusingDisk();
  RefusingDisk(const RefusingDisk&) = delete;
  RefusingDisk& operator=(const RefusingDisk&) = delete;
};

// During its lifetime, SQLite opens a file whose path ends with `name` only for reading. One object
// at a time.
class ReadOnlyFile {
 public:
  explicit ReadOnlyFile(const std::string& name);
  ~ReadOnlyFile();
  ReadOnlyFile(const ReadOnlyFile&) = delete;
  ReadOnlyFile& operator=(const ReadOnlyFile&) = delete;
};

}  // namespace credits::tests
