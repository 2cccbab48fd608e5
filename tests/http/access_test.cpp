// Who may make which call: tokens by scope, and web pages on a server without tokens.
#include "http/api/access.hpp"

#include <fstream>
#include <string>

#include "tests/catch.hpp"
#include "tests/temporary_directory.hpp"
#include "tests/told.hpp"

namespace credits::http {
namespace {

using namespace credits::tests;
using std::filesystem::perms;

class Files {
 public:
  Files() {
    write(relay(), "relay-1\nrelay-2\n");
    write(admin(), "\n  admin==  \r\n\n");
  }

  std::filesystem::path relay() const { return directory_.path() / "relay"; }
  std::filesystem::path admin() const { return directory_.path() / "admin"; }

  static void write(const std::filesystem::path& path, const std::string& content,
                    perms mode = perms::owner_read | perms::owner_write) {
    std::ofstream{path} << content;
    std::filesystem::permissions(path, mode);
  }

 private:
  TemporaryDirectory directory_;
};

// The code of the refusal; empty if there is none.
std::string refusal(const Access& access, Scope scope, const Sender& sender) {
  const auto problem = access.refuse(scope, sender);
  return problem ? std::string{problem->code()} : "";
}

Sender with(const std::vector<std::string_view>& authorization) {
  return {.authorization = authorization};
}

TEST_CASE("a token allows the calls of its scope") {
  const Files files;
  const Access access{{files.relay(), files.admin()}};
  struct Case {
    std::vector<std::string_view> authorization;
    const char* relay;
    const char* operators;
  };
  const Case of = GENERATE(values<Case>({
      {{}, "unauthorized", "unauthorized"},
      {{""}, "unauthorized", "unauthorized"},
      {{"Bearer"}, "unauthorized", "unauthorized"},
      {{"Bearer "}, "unauthorized", "unauthorized"},
      {{"Bearer wrong"}, "unauthorized", "unauthorized"},
      {{"Bearer relay-"}, "unauthorized", "unauthorized"},
      {{"Bearer relay-11"}, "unauthorized", "unauthorized"},
      {{"Bearer relay-1 relay-2"}, "unauthorized", "unauthorized"},
      {{"Basic relay-1"}, "unauthorized", "unauthorized"},
      {{"relay-1"}, "unauthorized", "unauthorized"},
      {{"Bearer relay-1", "Bearer relay-1"}, "unauthorized", "unauthorized"},
      {{"Bearer relay-1"}, "", "forbidden"},
      {{"bearer relay-2"}, "", "forbidden"},
      {{"BEARER  admin=="}, "", ""},
      {{"Bearer admin"}, "unauthorized", "unauthorized"},
  }));
  INFO((of.authorization.empty() ? "none" : of.authorization.front()));
  CHECK(refusal(access, Scope::relay, with(of.authorization)) == of.relay);
  CHECK(refusal(access, Scope::operators, with(of.authorization)) == of.operators);
  CHECK(refusal(access, Scope::anyone, with(of.authorization)).empty());
}

TEST_CASE("a challenge says whether the token was missing or wrong") {
  const Files files;
  const Access access{{files.relay(), {}}};
  CHECK(access.refuse(Scope::relay, {})->challenge == "Bearer");
  CHECK(access.refuse(Scope::relay, with({"Bearer x"}))->challenge ==
        R"(Bearer error="invalid_token")");
}

TEST_CASE("with a relay's file alone nobody is an operator") {
  const Files files;
  const Access access{{files.relay(), {}}};
  CHECK(refusal(access, Scope::relay, with({"Bearer relay-1"})).empty());
  CHECK(refusal(access, Scope::operators, with({"Bearer relay-1"})) == "forbidden");
}

TEST_CASE("a token that is in both files is an admin's") {
  const Files files;
  Files::write(files.relay(), "admin==");
  const Access access{{files.relay(), files.admin()}};
  CHECK(refusal(access, Scope::operators, with({"Bearer admin=="})).empty());
}

TEST_CASE("tokens are rotated by reading the files again") {
  const Files files;
  Access access{{files.relay(), files.admin()}};
  Files::write(files.relay(), "new");
  CHECK(refusal(access, Scope::relay, with({"Bearer new"})) == "unauthorized");
  access.reload();
  CHECK(refusal(access, Scope::relay, with({"Bearer new"})).empty());
  CHECK(refusal(access, Scope::relay, with({"Bearer relay-1"})) == "unauthorized");

  Files::write(files.admin(), "");
  CHECK_THROWS_AS(access.reload(), TokenFileError);
  CHECK(refusal(access, Scope::operators, with({"Bearer admin=="})).empty());
}

TEST_CASE("an unsafe or malformed token file is refused by name, and the error shows no token") {
  const Files files;
  struct Case {
    std::string content;
    perms mode;
    const char* told;
  };
  constexpr perms owner = perms::owner_read | perms::owner_write;
  const Case of = GENERATE_COPY(values<Case>({
      {"", owner, "openssl rand"},
      {"\n \r\n", owner, "openssl rand"},
      {"good\nse cret\n", owner, "line 2"},
      {"s\xc3\xa4"
       "cret\n",
       owner, "line 1"},
      {"secret===x\n", owner, "line 1"},
      {"==\n", owner, "line 1"},
      {std::string(4'097, 's'), owner, "line 1"},
      {"secret", owner | perms::others_read, "chmod 600"},
      {"secret", owner | perms::others_write, "chmod 600"},
      {"secret", owner | perms::group_write, "chmod 600"},
  }));
  Files::write(files.admin(), of.content, of.mode);
  const std::string told = told_by<TokenFileError>([&] { Access{{{}, files.admin()}}; });
  check_tells(told, {files.admin().string(), of.told});
  CHECK(told.find("cret") == std::string::npos);
}

TEST_CASE("a group may read a token file") {
  const Files files;
  Files::write(files.admin(), "a", perms::owner_read | perms::group_read);
  CHECK_NOTHROW(Access{{{}, files.admin()}});
}

TEST_CASE("a missing file is refused by name") {
  const Files files;
  std::filesystem::remove(files.relay());
  check_tells(told_by<TokenFileError>([&] {
                Access{{files.relay(), {}}};
              }),
              {files.relay().string()});
}

TEST_CASE("without tokens every program on the machine may call, but no web page of another site") {
  const Access access;
  struct Case {
    Sender sender;
    bool may;
  };
  const Case of = GENERATE(values<Case>({
      {{}, true},
      {{.host = "127.0.0.1:8787"}, true},
      {{.host = "127.1.2.3"}, true},
      {{.host = "127.0.0.1", .is_forwarded = true}, false},
      {{.host = "localhost:1"}, true},
      {{.host = "LocalHost"}, true},
      {{.host = "[::1]:8787"}, true},
      {{.host = "[::1]"}, true},
      {{.host = "x"}, true},
      {{.host = ""}, true},
      {{.host = ":80"}, false},
      {{.host = "x:80"}, false},
      {{.host = "localhost:x"}, false},
      {{.host = "localhost:80@evil"}, false},
      {{.host = "127.0.0.1, x"}, false},
      {{.host = "x", .may_be_browser = true}, false},
      {{.host = "", .may_be_browser = true}, false},
      {{.host = "evil.example"}, false},
      {{.host = "localhost.evil.example:8787"}, false},
      {{.host = "127.0.0.1.evil.example"}, false},
      {{.host = "128.0.0.1"}, false},
      {{.host = "[::2]", .may_be_browser = true}, false},
      {{.host = "[::1]evil.example", .may_be_browser = true}, false},
      {{.host = "localhost:1", .origin = "http://localhost:1"}, true},
      {{.host = "localhost:1", .origin = "http://LOCALHOST:1"}, true},
      {{.host = "localhost:1", .origin = "https://localhost:1"}, false},
      {{.host = "localhost:1", .origin = "http://localhost:2"}, false},
      {{.host = "localhost:1", .origin = "http://127.0.0.1:1"}, false},
      {{.host = "localhost:1", .origin = "http://evil.example"}, false},
      {{.host = "localhost:1", .origin = "null"}, false},
      {{.host = "localhost:1", .origin = ""}, false},
      {{.origin = "http://localhost:1"}, false},
      {{.host = "localhost:1", .fetch_site = "same-origin"}, true},
      {{.host = "localhost:1", .fetch_site = "none"}, true},
      {{.host = "localhost:1", .fetch_site = "same-site"}, false},
      {{.host = "localhost:1", .fetch_site = "cross-site"}, false},
  }));
  INFO(of.sender.host.value_or("-")
       << " " << of.sender.origin.value_or("-") << " " << of.sender.fetch_site.value_or("-"));
  CHECK(refusal(access, Scope::relay, of.sender) == (of.may ? "" : "forbidden"));
  CHECK(refusal(access, Scope::operators, of.sender) == (of.may ? "" : "forbidden"));
  CHECK(refusal(access, Scope::anyone, of.sender).empty());
}

TEST_CASE("with tokens, the names under which the server is addressed do not matter") {
  const Files files;
  const Access access{{files.relay(), {}}};
  const Sender sender{{"Bearer relay-1"}, "credits.example", "https://other.example", "cross-site"};
  CHECK(refusal(access, Scope::relay, sender).empty());
}

}  // namespace
}  // namespace credits::http
