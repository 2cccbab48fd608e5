#include "actors/base/text.hpp"

#include <string>
#include <string_view>

#include "tests/catch.hpp"
#include "tests/told.hpp"

namespace credits::base {
namespace {

using namespace std::string_view_literals;

TEST_CASE("what is UTF-8 is text, to the ends of each length of a character") {
  for (const std::string_view text :
       {""sv, "{}"sv, "a\r\n\t"sv, "\x7f"sv, "\xc2\x80\xdf\xbf"sv, "\xe0\xa0\x80\xed\x9f\xbf"sv,
        "\xee\x80\x80\xef\xbf\xbf"sv, "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"sv, "\xef\xbb\xbf{}"sv}) {
    INFO(text);
    CHECK(fault_of_text(text) == std::nullopt);
  }
}

TEST_CASE("what is not UTF-8 is named by its first byte and its place") {
  for (const std::string_view bad :
       {"\x80"sv, "\xbf"sv, "\xc0\x80"sv, "\xc1\xbf"sv, "\xc3"sv, "\xc3("sv, "\xe0\x9f\xbf"sv,
        "\xe4\xb8"sv, "\xed\xa0\x80"sv, "\xf0\x8f\xbf\xbf"sv, "\xf4\x90\x80\x80"sv, "\xf5"sv,
        "\xff"sv, "\xf0\x9f\x98"sv}) {
    const std::string text = "{}\n  " + std::string{bad} + " ";
    INFO(text);
    const auto fault = fault_of_text(text);
    REQUIRE(fault);
    tests::check_tells(*fault, {"UTF-8", "line 2, column 3 (byte 5)", "0x"});
  }
  tests::check_tells(fault_of_text("\xfc").value(), {"0xFC", "line 1, column 1 (byte 0)"});
}

TEST_CASE("a NUL is named by its place") {
  tests::check_tells(fault_of_text("ab\n\0"sv).value(), {"NUL", "line 2, column 1 (byte 3)"});
  tests::check_tells(fault_of_text("\0"sv).value(), {"NUL", "line 1, column 1"});
  tests::check_tells(fault_of_text(std::string(4096, '\0')).value(), {"NUL", "line 1, column 1"});
}

TEST_CASE("UTF-16 and UTF-32 are named, with a byte order mark and without") {
  for (const std::string_view text : {"\xff\xfe{\0"sv, "\xfe\xff\0{"sv, "{\0}\0"sv, "\0{\0}"sv}) {
    INFO(text);
    tests::check_tells(fault_of_text(text).value(), {"UTF-16", "save it as UTF-8"});
  }
  for (const std::string_view text :
       {"\xff\xfe\0\0{\0\0\0"sv, "\0\0\xfe\xff\0\0\0{"sv, "{\0\0\0"sv, "\0\0\0{"sv}) {
    INFO(text);
    tests::check_tells(fault_of_text(text).value(), {"UTF-32", "save it as UTF-8"});
  }
}

TEST_CASE("a byte order mark is taken from the beginning alone, and once") {
  CHECK(without_mark("\xef\xbb\xbf{}") == "{}");
  CHECK(without_mark("\xef\xbb\xbf\xef\xbb\xbf") == "\xef\xbb\xbf");
  CHECK(without_mark("{}\xef\xbb\xbf") == "{}\xef\xbb\xbf");
  CHECK(without_mark("\xef\xbb") == "\xef\xbb");
  CHECK(without_mark("").empty());
}

}  // namespace
}  // namespace credits::base
