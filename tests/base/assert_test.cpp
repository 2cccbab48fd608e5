#include "actors/base/assert.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <exception>
#include <string>

#include "tests/catch.hpp"

namespace credits::ledger {
namespace {

struct End {
  int status = 0;
  std::string words;  // on standard error
};

// Of a process of its own that runs `work`.
template <class Work>
End end_of(Work work) {
  std::array<int, 2> pipe{};
  REQUIRE(::pipe(pipe.data()) == 0);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::dup2(pipe[1], STDERR_FILENO);
    std::signal(SIGABRT, SIG_DFL);
    work();
    ::_exit(0);
  }
  ::close(pipe[1]);
  End end;
  std::array<char, 1'024> part{};
  for (ssize_t size = 0; (size = ::read(pipe[0], part.data(), part.size())) > 0;) {
    end.words.append(part.data(), static_cast<std::size_t>(size));
  }
  ::close(pipe[0]);
  REQUIRE(::waitpid(child, &end.status, 0) == child);
  return end;
}

TEST_CASE("an invariant that is broken ends the process and names file, line and condition") {
  const bool at_the_end = GENERATE(false, true);
  const std::uint64_t version = 2;
  const End end = end_of([&] {
    try {
      if (at_the_end) {
        CREDITS_ENSURES(version == 3);
      } else {
        CREDITS_EXPECTS(version == 3);
      }
    } catch (const std::exception&) {
      // nothing handles it, not even a handler of everything
    }
  });
  INFO(end.words);
  CHECK(WIFSIGNALED(end.status));
  CHECK(WTERMSIG(end.status) == SIGABRT);
  CHECK(end.words.find("assert_test.cpp:") != std::string::npos);
  CHECK(end.words.find(at_the_end ? "postcondition" : "precondition") != std::string::npos);
  CHECK(end.words.find("version == 3") != std::string::npos);
}

TEST_CASE("an invariant that holds is passed, with commas and conditions of any kind") {
  CREDITS_EXPECTS(std::string{"ab"}.size() == 2);
  CREDITS_ENSURES(std::array<int, 2>{1, 2}.size() == 2 || false);
}

}  // namespace
}  // namespace credits::ledger
