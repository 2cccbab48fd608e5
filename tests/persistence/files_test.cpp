#include "persistence/files.hpp"

#include <filesystem>
#include <string>

#include "persistence/store.hpp"
#include "tests/catch.hpp"
#include "tests/temporary_directory.hpp"
#include "tests/told.hpp"

namespace credits::persistence {
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
  tests::check_tells(tests::told_by<StoreError>([&] { read_file(path); }), {path.string(), reason});
  tests::check_tells(tests::told_by<StoreError>([&] { replace_file(path, "x"); }),
                     {path.string(), reason});
}

}  // namespace
}  // namespace credits::persistence
