// Where a request ends and whether it is HTTP/1, in cases with the sections of the RFCs. The result
// must not depend on how a request is cut into pieces.
#include "http/server/framer.hpp"

#include <string>
#include <string_view>
#include <vector>

#include "tests/catch.hpp"
#include "tests/http/framed.hpp"

namespace credits::http {
namespace {

using tests::byte_by_byte;
using tests::frame;
using tests::Framed;
using State = Framer::State;

constexpr int whole = 200;
constexpr int unfinished = 0;

struct Case {
  std::string_view section;  // of RFC 9112, unless it names another RFC
  std::string bytes;
  int expected;  // whole, unfinished, or the status of the refusal
};

std::string get(std::string_view headers) {
  return "GET /x HTTP/1.1\r\nHost: h\r\n" + std::string{headers} + "\r\n";
}

std::string post(std::string_view headers, std::string_view body = "") {
  return "POST /x HTTP/1.1\r\nHost: h\r\n" + std::string{headers} + "\r\n" + std::string{body};
}

std::string chunked(std::string_view body) { return post("Transfer-Encoding: chunked\r\n", body); }

const std::vector<Case>& cases() {
  using namespace std::string_literals;
  static const std::vector<Case> all{
      {"2.1", get(""), whole},
      {"2.2: an empty line before the request", "\r\n" + get(""), whole},
      {"2.2: several", "\r\n\r\n\r\n" + get(""), whole},
      {"2.2: too many", "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n" + get(""), 400},
      {"2.2: a bare LF before it", "\n" + get(""), 400},
      {"2.2: a CR without LF before it", "\rGET / HTTP/1.1\r\n", 400},
      {"2.2: blanks before the first header", "GET / HTTP/1.1\r\n Host: h\r\n\r\n", 400},
      {"2.2: a bare LF", "GET / HTTP/1.1\nHost: h\n\n", 400},
      {"2.2: a bare LF in the headers", "GET / HTTP/1.1\r\nHost: h\nA: b\r\n\r\n", 400},
      {"2.2: a bare CR after the request line", "GET / HTTP/1.1\rHost: h\r\n\r\n", 400},
      {"2.2: a bare CR before a header", "GET / HTTP/1.1\r\nHost: h\r\n\rA: b\r\n\r\n", 400},
      {"2.2: a line of blanks before the headers", "GET / HTTP/1.1\r\n \r\nHost: h\r\n\r\n", 400},
      {"2.2: a bare CR in a header", get("A: b\rc: d\r\n"), 400},
      {"2.3: HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", whole},
      {"2.3: a future minor version", "GET / HTTP/1.2\r\nHost: h\r\n\r\n", whole},
      {"2.3: HTTP/2", "GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505},
      {"2.3: the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
      {"2.3: HTTP/9.9", "GET / HTTP/9.9\r\nHost: h\r\n\r\n", 505},
      {"2.3: HTTP/0.9", "GET /\r\n", 400},
      {"2.3: no minor version", "GET / HTTP/1\r\nHost: h\r\n\r\n", 400},
      {"2.3: zeros before the digits", "GET / HTTP/01.01\r\nHost: h\r\n\r\n", 400},
      {"2.3: a blank in it", "GET / HTTP/ 1.1\r\nHost: h\r\n\r\n", 400},
      {"2.3: in lower case", "GET / http/1.1\r\nHost: h\r\n\r\n", 400},
      {"2.3: two digits", "GET / HTTP/1.11\r\nHost: h\r\n\r\n", 400},
      {"2.3: no digit", "GET / HTTP/1.x\r\nHost: h\r\n\r\n", 400},
      {"2.3: a blank after it", "GET / HTTP/1.1 \r\nHost: h\r\n\r\n", 400},
      {"3: no version", "GET /\r\nHost: h\r\n\r\n", 400},
      {"3: an empty version", "GET / \r\n\r\n", 400},
      {"3: no target", "GET HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"3: words before the request", "Extra lineGET / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"3: nothing but blanks", "   \r\n\r\n", 400},
      {"3: two blanks", "GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"3: two blanks before the version", "GET /  HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"3: a tab", "GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"3: a blank first", " GET / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"3: no method", " / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"3: not HTTP at all", "\x16\x03\x01\x02\x00\x01"s, 400},
      {"3: NUL", "GET /\0 HTTP/1.1\r\nHost: h\r\n\r\n"s, 400},
      {"3.1: not a token", "GE(T / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"3.1: any token", "BREW! / HTTP/1.1\r\nHost: h\r\n\r\n", whole},
      {"3.1: longer than any", std::string(33, 'M') + " / HTTP/1.1\r\nHost: h\r\n\r\n", 501},
      {"3.2.1: no path", "GET x HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"3.2: a blank in the target", "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"RFC 3986, 3.3: a backslash", "GET /a\\b HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"RFC 3986, 3.3: neither ASCII nor UTF-8", "GET /\xc0\xaf HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"RFC 3986, 2.1: escaped control characters",
       "GET /a%00%0d%0aA:%20b HTTP/1.1\r\nHost: h\r\n\r\n", whole},
      {"3.2.1: a fragment", "GET /#x HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"3.2.1: not ASCII", "GET /\xc3\xa4 HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"3.2.2: absolute", "GET http://h:80/x?y HTTP/1.1\r\nHost: h\r\n\r\n", whole},
      {"3.2.2: in any case", "GET HTTP://h HTTP/1.1\r\nHost: h\r\n\r\n", whole},
      {"3.2.2: no host", "GET http:///x HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"3.2.2: a user", "GET http://u@h/x HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"3.2.2: another scheme", "GET ftp://h/x HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"3.2.3: CONNECT", "CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n", 501},
      {"3.2.4: for OPTIONS", "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", whole},
      {"3.2.4: for others", "GET * HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"3: a target of 8,000 bytes",
       "GET /" + std::string(7'999, 'x') + " HTTP/1.1\r\nHost: h\r\n\r\n", whole},
      {"3: of 8,001", "GET /" + std::string(8'000, 'x') + " HTTP/1.1\r\nHost: h\r\n\r\n", 414},
      {"3: of 100,000", "GET /" + std::string(100'000, 'x'), 414},
      {"3.2: no Host", "GET / HTTP/1.1\r\n\r\n", 400},
      {"3.2: an empty one", "GET / HTTP/1.1\r\nHost:\r\n\r\n", 400},
      {"3.2: two", "GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", 400},
      {"3.2: two in HTTP/1.0", "GET / HTTP/1.0\r\nHost: h\r\nhost: i\r\n\r\n", 400},
      {"3.2: a list", "GET / HTTP/1.1\r\nHost: h, i\r\n\r\n", 400},
      {"3.2: a path", "GET / HTTP/1.1\r\nHost: h/x\r\n\r\n", 400},
      {"3.2: a user", "GET / HTTP/1.1\r\nHost: u@h\r\n\r\n", 400},
      {"3.2: no port", "GET / HTTP/1.1\r\nHost: h:x\r\n\r\n", 400},
      {"3.2: an address", "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", whole},
      {"3.2: half an address", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400},
      {"5: names in any case, a tab and no value", "GET / HTTP/1.1\r\nhoSt:\th\r\nempty:\r\n\r\n",
       whole},
      {"5: no colon", get("A\r\n"), 400},
      {"5: no name", get(": b\r\n"), 400},
      {"5.1: a blank before the colon", get("A : b\r\n"), 400},
      {"5.1: a blank before the colon of a length", post("Content-Length : 3\r\n", "abc"), 400},
      {"5.1: the same beside another", post("Content-Length: 3\r\nContent-Length : 2\r\n", "abc"),
       400},
      {"5.1: a blank before the colon of a coding", post("Transfer-Encoding : chunked\r\n"), 400},
      {"5.1: a tab in the name", get("Content\tLength: 3\r\n"), 400},
      {"5.1: a blank in the name", get("A b: c\r\n"), 400},
      {"5.1: blanks around the value", get("A: \t b \t\r\n"), whole},
      {"5.1: no value", get("A:\r\n"), whole},
      {"5.2: obs-fold", get("A: b\r\n c\r\n"), 400},
      {"5.2: obs-fold by a tab", get("A: b\r\n\tc\r\n"), 400},
      {"RFC 9110, 5.5: NUL", get("A: b\0c\r\n"s), 400},
      {"RFC 9110, 5.5: a control character", get("A: b\x01\r\n"), 400},
      {"RFC 9110, 5.5: DEL", get("A: b\x7f\r\n"), 400},
      {"RFC 9110, 5.5: obs-text", get("A: b\xff\r\n"), whole},
      {"RFC 9110, 5.6.2: not a token", get("A(: b\r\n"), 400},
      {"RFC 9110, 5.6.2: brackets", get("A[]: b\r\n"), 400},
      {"RFC 9110, 5.6.2: not ASCII", get("A\xc3\xab: b\r\n"), 400},
      {"RFC 9110, 5.1: an underscore is no hyphen",
       post("Content-Length: 3\r\nContent_Length: 9\r\nTransfer_Encoding: chunked\r\n", "abc"),
       whole},
      {"RFC 6585, 5: a name of 100,000 bytes", get(std::string(100'000, 'A') + ": b\r\n"), 431},
      {"RFC 6585, 5: headers of 64 KiB", get("A: " + std::string(65'537, 'x') + "\r\n"), 431},
      {"RFC 6585, 5: 101 headers", get([] {
         std::string lines;
         for (int i = 0; i < 100; ++i) lines += "A: b\r\n";
         return lines;
       }()),
       431},
      {"6.1: chunks", chunked("3\r\nabc\r\n0\r\n\r\n"), whole},
      {"6.1: in any case", post("Transfer-Encoding: Chunked\r\n", "0\r\n\r\n"), whole},
      {"6.1: with a length", post("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"), 400},
      {"6.1: with a length after it", post("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n"),
       400},
      {"6.1: on GET too", get("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n"), 400},
      {"6.1: HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
      {"6.1: with an invalid length", post("Content-Length: +3\r\nTransfer-Encoding: chunked\r\n"),
       400},
      {"6.1: in capitals, with a length",
       post("Content-Length: 3\r\nTRANSFER-ENCODING: chunked\r\n"), 400},
      {"6.1: blanks around it", post("Transfer-Encoding:\tchunked \r\n", "0\r\n\r\n"), whole},
      {"6.1: folded", post("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"), 400},
      {"6.1: after a comma", post("Transfer-Encoding: , chunked\r\n", "0\r\n\r\n"), 501},
      {"6.1: before a comma", post("Transfer-Encoding: chunked,\r\n", "0\r\n\r\n"), 400},
      {"6.1: with a parameter", post("Transfer-Encoding: chunked;a=b\r\n", "0\r\n\r\n"), 400},
      {"6.1: after a vertical tab", post("Transfer-Encoding: \vchunked\r\n", "0\r\n\r\n"), 400},
      {"6.1: after a form feed", post("Transfer-Encoding: \fchunked\r\n", "0\r\n\r\n"), 400},
      {"6.1: before NUL", post("Transfer-Encoding: chunked\0\r\n"s, "0\r\n\r\n"), 400},
      {"6.1: gzip alone", post("Transfer-Encoding: gzip\r\n"), 400},
      {"6.1: chunked and then identity",
       post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"), 400},
      {"6.1: twice", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 400},
      {"6.1: empty", post("Transfer-Encoding:\r\n"), 400},
      {"6.1: chunked twice", post("Transfer-Encoding: chunked, chunked\r\n"), 501},
      {"6.1: gzip before it", post("Transfer-Encoding: gzip, chunked\r\n"), 501},
      {"6.1: gzip after it", post("Transfer-Encoding: chunked, gzip\r\n"), 400},
      {"6.1: another", post("Transfer-Encoding: identity\r\n"), 400},
      {"6.1: almost", post("Transfer-Encoding: xchunked\r\n"), 400},
      {"6.1: in quotes", post("Transfer-Encoding: \"chunked\"\r\n"), 400},
      {"6.2: a length", post("Content-Length: 3\r\n", "abc"), whole},
      {"6.2: with zeros", post("Content-Length: 003\r\n", "abc"), whole},
      {"6.2: of zeros", post("Content-Length: 00\r\n"), whole},
      {"6.2: not octal", post("Content-Length: 0200\r\n", std::string(200, 'x')), whole},
      {"6.2: blanks around it", post("Content-Length:\t  3 \r\n", "abc"), whole},
      {"6.2: a truncated body", post("Content-Length: 4\r\n", "abc"), unfinished},
      {"6.2: empty", post("Content-Length:\r\n"), 400},
      {"6.2: empty on GET", get("Content-Length:\r\n"), 400},
      {"6.2: twice", post("Content-Length: 3\r\nContent-Length: 3\r\n", "abc"), 400},
      {"6.2: two that differ", post("Content-Length: 3\r\nContent-Length: 4\r\n", "abcd"), 400},
      {"6.2: a list that differs", post("Content-Length: 3, 4\r\n", "abcd"), 400},
      {"6.2: a list of three", post("Content-Length: 3, 3, 3\r\n", "abc"), 400},
      {"6.2: a list", post("Content-Length: 3, 3\r\n", "abc"), 400},
      {"6.2: signed", post("Content-Length: +3\r\n", "abc"), 400},
      {"6.2: negative", post("Content-Length: -3\r\n", "abc"), 400},
      {"6.2: negative zero", post("Content-Length: -0\r\n"), 400},
      {"6.2: below any integer", post("Content-Length: -123456789123456789123456789\r\n"), 400},
      {"6.2: letters", post("Content-Length: abc\r\n"), 400},
      {"6.2: digits and letters", post("Content-Length: 3x\r\n", "abc"), 400},
      {"6.2: with an underscore", post("Content-Length: 1_0\r\n", "abc"), 400},
      {"6.2: in octal", post("Content-Length: 0o3\r\n", "abc"), 400},
      {"6.2: in hexadecimal", post("Content-Length: 0x3\r\n", "abc"), 400},
      {"6.2: with a blank in it", post("Content-Length: 1 2\r\n", "abc"), 400},
      {"6.2: above any integer", post("Content-Length: 99999999999999999999\r\n"), 413},
      {"RFC 9110, 15.5.14: above the limit", post("Content-Length: 1001\r\n"), 413},
      {"RFC 9110, 15.5.14: at the limit", post("Content-Length: 1000\r\n", std::string(1'000, 'x')),
       whole},
      {"7.1: an empty body", chunked("0\r\n\r\n"), whole},
      {"7.1: in capitals", chunked("A\r\n0123456789\r\n0\r\n\r\n"), whole},
      {"7.1: no last chunk", chunked("3\r\nabc\r\n"), unfinished},
      {"7.1: zeros", chunked("000\r\n\r\n"), whole},
      {"7.1: no size", chunked("\r\n"), 400},
      {"7.1: a sign before zero", chunked("+0\r\n\r\nX"), 400},
      {"7.1: negative", chunked("-1\r\na\r\n0\r\n\r\n"), 400},
      {"7.1: an underscore", chunked("1_0\r\na\r\n0\r\n\r\n"), 400},
      {"7.1: a blank after it", chunked("1 \r\na\r\n0\r\n\r\n"), 400},
      {"7.1: a bare CR after it", chunked("1\ra\r\n0\r\n\r\n"), 400},
      {"7.1: a sign", chunked("+1\r\na\r\n0\r\n\r\n"), 400},
      {"7.1: a prefix", chunked("0x1\r\na\r\n0\r\n\r\n"), 400},
      {"7.1: a blank before it", chunked(" 1\r\na\r\n0\r\n\r\n"), 400},
      {"7.1: not hexadecimal", chunked("g\r\n"), 400},
      {"7.1: above any integer", chunked("10000000000000000\r\n"), 400},
      {"7.1: the largest integer", chunked("ffffffffffffffff\r\n"), 413},
      {"7.1: above the limit", chunked("3e9\r\n"), 413},
      {"7.1: above the limit, in two chunks",
       chunked("3e8\r\n" + std::string(1'000, 'x') + "\r\n1\r\n"), 413},
      {"7.1: too short", chunked("3\r\nab\r\n0\r\n\r\n"), 400},
      {"7.1: no end of the data", chunked("3\r\nabc0\r\n\r\n"), 400},
      {"7.1: too long", chunked("3\r\nabcd\r\n0\r\n\r\n"), 400},
      {"7.1: a bare LF after the size", chunked("1\na\r\n0\r\n\r\n"), 400},
      {"7.1: a bare LF after the data", chunked("1\r\na\n0\r\n\r\n"), 400},
      {"7.1: a bare CR after the data", chunked("1\r\na\r0\r\n\r\n"), 400},
      {"7.1.1: an extension", chunked("1;a\r\nx\r\n0;b=c;d=\"e;\\\"f\"\r\n\r\n"), whole},
      {"7.1.1: blanks in it", chunked("1 ; a = b ;c\r\nx\r\n0\r\n\r\n"), whole},
      {"7.1.1: a blank after it", chunked("1;a=b \r\nx\r\n0\r\n\r\n"), 400},
      {"7.1.1: an invalid name", chunked("1;a[=b\r\nx\r\n0\r\n\r\n"), 400},
      {"7.1.1: NUL", chunked("1;\0a\r\nx\r\n0\r\n\r\n"s), 400},
      {"7.1.1: a bare LF", chunked("1;\nx\r\n0\r\n\r\n"), 400},
      {"7.1.1: no name", chunked("1;\r\nx\r\n0\r\n\r\n"), 400},
      {"7.1.1: no value", chunked("1;a=\r\nx\r\n0\r\n\r\n"), 400},
      {"7.1.1: an unfinished string", chunked("1;a=\"b\r\nx\r\n0\r\n\r\n"), 400},
      {"7.1.1: a bare CR", chunked("1;a\rb\r\nx\r\n0\r\n\r\n"), 400},
      {"7.1.1: above the limit", chunked("1;" + std::string(1'100, 'a') + "\r\n"), 400},
      {"7.1.2: trailers", chunked("0\r\nA: b\r\nContent-Length: 5\r\n\r\n"), whole},
      {"7.1.2: trailers without effect",
       chunked("0\r\nTransfer-Encoding: chunked\r\nHost: i\r\nAuthorization: x\r\n\r\n"), whole},
      {"7.1.2: a bare LF at the end", chunked("0\r\n\n"), 400},
      {"7.1.2: an invalid trailer", chunked("0\r\nA\r\n\r\n"), 400},
      {"7.1.2: folded", chunked("0\r\nA: b\r\n c\r\n\r\n"), 400},
      {"7.1.2: a bare LF", chunked("0\r\nA: b\n\r\n"), 400},
      {"7.1.2: above the limit", chunked("0\r\nA: " + std::string(8'200, 'x')), 431},
      {"RFC 9110, 10.1.1: 100-continue", post("Expect: 100-Continue\r\nContent-Length: 1\r\n", "a"),
       whole},
      {"RFC 9110, 10.1.1: another", post("Expect: 200-ok\r\n"), 417},
      {"part of a line", "GET / HT", unfinished},
      {"part of the headers", "GET / HTTP/1.1\r\nHost: h\r\n", unfinished},
  };
  return all;
}

int outcome_of(const Framed& framed) {
  return framed.state == State::complete ? whole : framed.status;
}

TEST_CASE("a request is complete or refused as the RFCs say") {
  for (const Case& one : cases()) {
    INFO(one.section << ": " << one.bytes.substr(0, 200));
    CHECK(outcome_of(frame({one.bytes})) == one.expected);
  }
}

TEST_CASE("the result does not depend on how a request is cut") {
  for (const Case& one : cases()) {
    INFO(one.section << ": " << one.bytes.substr(0, 200));
    const Framed at_once = frame({one.bytes});
    const std::string_view bytes = one.bytes;
    CHECK(frame(byte_by_byte(bytes)) == at_once);
    if (bytes.size() > 3'000) continue;
    for (std::size_t cut = 1; cut < bytes.size(); ++cut) {
      INFO("cut after " << cut);
      REQUIRE(frame({bytes.substr(0, cut), bytes.substr(cut)}) == at_once);
    }
  }
}

TEST_CASE("a request ends where the next one begins") {
  for (const Case& one : cases()) {
    if (one.expected != whole) continue;
    INFO(one.section);
    const Framed alone = frame({one.bytes});
    CHECK(alone.size == one.bytes.size());
    CHECK(frame({one.bytes + "GET /next HTTP/1.1\r\n"}) == alone);
  }
}

TEST_CASE("part of a request is neither taken for a complete one nor refused") {
  for (const Case& one : cases()) {
    if (one.expected != whole || one.bytes.size() > 3'000) continue;
    INFO(one.section);
    for (std::size_t size = 0; size < one.bytes.size(); ++size) {
      INFO("the first " << size);
      REQUIRE(outcome_of(frame({std::string_view{one.bytes}.substr(0, size)})) == unfinished);
    }
  }
}

TEST_CASE("a request is read as it was sent") {
  const Framed framed =
      frame({"POST /a%2Fb?c HTTP/1.1\r\nHost: h:80\r\nContent-Length: 3\r\n\r\nabc"});
  CHECK(framed.method == "POST");
  CHECK(framed.target == "/a%2Fb?c");
  CHECK(framed.host == "h:80");
  CHECK(framed.body == "abc");
  CHECK(frame({chunked("2;x=y\r\nab\r\n1\r\nc\r\n0\r\nA: b\r\n\r\n")}).body == "abc");
}

TEST_CASE("the host of an absolute target overrides the header") {
  const Framed framed = frame({"GET http://other:1?q HTTP/1.1\r\nHost: h\r\n\r\n"});
  CHECK(framed.host == "other:1");
  CHECK(framed.target == "/?q");
}

TEST_CASE("a connection stays open by default in HTTP/1.1, and on request in HTTP/1.0") {
  CHECK(frame({get("")}).keeps_alive);
  CHECK_FALSE(frame({get("Connection: x, Close\r\n")}).keeps_alive);
  CHECK_FALSE(frame({"GET / HTTP/1.0\r\n\r\n"}).keeps_alive);
  CHECK(frame({"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"}).keeps_alive);
  CHECK_FALSE(frame({get("Connection: close\r\nConnection: keep-alive\r\n")}).keeps_alive);
}

TEST_CASE("only HTTP/1.1 waits for 100 Continue before it sends a body") {
  CHECK(frame({get("Expect: 100-continue\r\n")}).expects_continue);
  CHECK_FALSE(frame({"GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n"}).expects_continue);
}

TEST_CASE("the framer continues with the next request, and keeps nothing of the last one") {
  Framer framer{{}};
  const std::string first = post("Content-Length: 3\r\nAuthorization: x\r\n", "abc");
  framer.take(first);
  framer.admit_body(10);
  framer.take(std::string_view{first}.substr(first.size() - 3));
  REQUIRE(framer.state() == State::complete);
  for (const bool is_idle : {false, true}) {
    framer.begin_next(is_idle);
    CHECK_FALSE(framer.has_begun());
    framer.take(get(""));
    REQUIRE(framer.state() == State::admitting);
    CHECK_FALSE(framer.head().has(Field::authorization));
    framer.admit_body(0);
    CHECK(framer.state() == State::complete);
    CHECK(framer.body().empty());
  }
}

TEST_CASE("a body that nobody wants is counted, and not kept") {
  Framer framer{{}};
  for (const std::string& bytes :
       {post("Content-Length: 3\r\n", "abc"), chunked("1\r\na\r\n2\r\nbc\r\n0\r\n\r\n")}) {
    std::string_view rest = bytes;
    rest.remove_prefix(framer.take(rest));
    framer.skip_body(3);
    CHECK(framer.take(rest) == rest.size());
    CHECK(framer.state() == State::complete);
    CHECK(framer.body().empty());
    framer.begin_next(true);
  }
  const std::string too_long = chunked("2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n");
  std::string_view rest = too_long;
  rest.remove_prefix(framer.take(rest));
  framer.skip_body(3);
  framer.take(rest);
  CHECK(framer.fault().status == 413);
}

TEST_CASE("the memory of a body is given back with its request") {
  Framer framer{{}};
  const std::string large = post("Content-Length: 100000\r\n", std::string(100'000, 'x'));
  std::string_view rest = large;
  rest.remove_prefix(framer.take(rest));
  framer.admit_body(100'000);
  framer.take(rest);
  REQUIRE(framer.body().size() == 100'000);
  framer.begin_next(false);
  CHECK(framer.body().capacity() < 100);
}

TEST_CASE("header fields are recognised by their names, in any case") {
  CHECK(field_of("idempotency-KEY") == Field::idempotency_key);
  CHECK(field_of("X-Forwarded-For") == Field::forwarded);
  CHECK(field_of("x-forwarded-host") == Field::forwarded);
  CHECK(field_of("Via") == Field::forwarded);
  CHECK(field_of("X-Forward") == Field::other);
  Framer framer{{}};
  framer.take(get("If-None-Match: \"a\"\r\nif-none-match:  \"b\" \r\nUser-Agent: x\r\n"));
  CHECK(framer.head().values(Field::if_none_match) ==
        std::vector<std::string_view>{"\"a\"", "\"b\""});
  CHECK(framer.head().first(Field::if_none_match) == "\"a\"");
  CHECK_FALSE(framer.head().has(Field::origin));
}

}  // namespace
}  // namespace credits::http
