// Which requests an event loop may answer by itself.
#include "http/plain_request.hpp"

#include <string>

#include "tests/catch.hpp"

namespace credits::http {
namespace {

std::string head_with(const std::string& header, const std::string& request = "POST /x HTTP/1.1") {
  return request + "\r\n" + header + (header.empty() ? "" : "\r\n") + "\r\n";
}

TEST_CASE("a request that has come whole, and says nothing unusual, is plain") {
  for (const std::string header :
       {"", "Host: x", "Content-Length: 0", "Connection: keep-alive", "connection:Keep-Alive",
        "Content-Type: text/plain", "X: Connection: close"}) {
    INFO(header);
    const std::string bytes = head_with(header);
    const auto request = plain_request(bytes);
    REQUIRE(request);
    CHECK(request->method == "POST");
    CHECK(request->target == "/x");
  }
  CHECK(plain_request(head_with("Content-Length: 2") + "{}"));
  CHECK(plain_request(head_with("Content-Length: 2") + "{}GET /next"));
}

TEST_CASE("a request that somebody has to wait for, or to look at closely, is not plain") {
  for (const std::string header :
       {"Connection: close", "Connection: keep-alive, close", "Connection:", "Upgrade: websocket",
        "Transfer-Encoding: chunked", "Expect: 100-continue", "Content-Length: 1",
        "Content-Length: x", "Content-Length: -1", "Content-Length:", "no colon", ": no name",
        "Content-Length : 0", " X: folded"}) {
    INFO(header);
    CHECK_FALSE(plain_request(head_with(header)));
  }
  CHECK_FALSE(plain_request(head_with("Content-Length: 0\r\nContent-Length: 0")));
  CHECK_FALSE(plain_request(head_with("", "GET /x HTTP/1.0")));
  CHECK_FALSE(plain_request(head_with("", "GET/xHTTP/1.1")));
  CHECK_FALSE(plain_request(head_with("Content-Length: 2", "GET /x HTTP/1.1") + "{}"));
  CHECK_FALSE(plain_request("GET /x HTTP/1.1\r\nHost: x\r\n"));
  CHECK_FALSE(plain_request(""));
}

}  // namespace
}  // namespace credits::http
