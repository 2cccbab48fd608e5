#include "actors/base/files.hpp"

#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <string>

#include "tests/catch.hpp"
#include "tests/temporary_directory.hpp"
#include "tests/told.hpp"

namespace credits::base {
namespace {

TEST_CASE("a replaced file has the new content, and nothing is left beside it") {
  const tests::TemporaryDirectory directory;
  const auto path = directory.path() / "file";
  const std::string content(200'000, 'x');
  replace_file(path, "old");
  replace_file(path, content);
  CHECK(read_file(path) == content);
  CHECK(std::distance(std::filesystem::directory_iterator{directory.path()}, {}) == 1);
}

TEST_CASE("a file that cannot be read or written is named, with the system's reason") {
  const tests::TemporaryDirectory directory;
  const auto path = directory.path() / "missing" / "file";
  const std::string reason = "No such file or directory";
  tests::check_tells(tests::told_by<FileError>([&] { read_file(path); }), {path.string(), reason});
  tests::check_tells(tests::told_by<FileError>([&] { replace_file(path, "x"); }),
                     {path.string(), reason});
}

// The limit of a file's size ends the process by a signal, unless that is ignored.
class SmallFilesOnly {
 public:
  explicit SmallFilesOnly(rlim_t bytes) : handler_{std::signal(SIGXFSZ, SIG_IGN)} {
    ::getrlimit(RLIMIT_FSIZE, &limit_);
    const rlimit small{bytes, limit_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &small);
  }
  ~SmallFilesOnly() {
    ::setrlimit(RLIMIT_FSIZE, &limit_);
    std::signal(SIGXFSZ, handler_);
  }
  SmallFilesOnly(const SmallFilesOnly&) = delete;
  SmallFilesOnly& operator=(const SmallFilesOnly&) = delete;

 private:
  void (*handler_)(int);
  rlimit limit_{};
};

TEST_CASE("a file that finds no room stays as it was, and nothing is left beside it") {
  const tests::TemporaryDirectory directory;
  const auto path = directory.path() / "file";
  replace_file(path, "old");
  {
    const SmallFilesOnly limit{4096};
    tests::check_tells(
        tests::told_by<FileError>([&] { replace_file(path, std::string(9000, 'x')); }),
        {path.string(), "File too large", "make room"});
  }
  CHECK(read_file(path) == "old");
  CHECK(std::distance(std::filesystem::directory_iterator{directory.path()}, {}) == 1);
}

}  // namespace
}  // namespace credits::base
