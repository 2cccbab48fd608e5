// A request's target: all parts are views into it, and every decoded name can be encoded again.
#include "http/api/target.hpp"

#include <optional>
#include <string>
#include <vector>

#include "http/api/routes.hpp"
#include "http/codec/identifiers.hpp"
#include "http/codec/names.hpp"
#include "http/codec/problem.hpp"
#include "http/server/text.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace {

using namespace credits;
using tests::expect;

bool is_part(std::string_view part, std::string_view whole) {
  return part.empty() ||
         (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

std::string percent_encoded(std::string_view text) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string encoded;
  for (const char letter : text) {
    const auto byte = static_cast<unsigned char>(letter);
    encoded += {'%', digits[byte / 16], digits[byte % 16]};
  }
  return encoded;
}

void check_identifier(std::string_view sent) {
  const auto decoded = http::percent_decoded(sent);
  if (!decoded) return;
  expect(decoded->size() <= sent.size(), "decoding makes nothing longer");
  expect(http::percent_decoded(percent_encoded(*decoded)) == decoded, "it can be sent again");
  if (http::fault_of_install_id(*decoded)) return;
  expect(!decoded->empty() && decoded->size() <= http::identifier_bytes_max,
         "an id has its length");
  for (const char letter : *decoded) expect(letter > ' ' && letter <= '~', "an id is printable");
}

void check_query(std::string_view query) {
  try {
    for (const auto& [name, value] : http::decode_query(query, {"limit", "after", "before"})) {
      expect(value.size() <= query.size(), "a parameter is no longer than the query");
      if (http::fault_of_id_bound(value, "after")) continue;
      expect(!http::codec::fault_of_tier(value) || value.size() > http::codec::tier_bytes_max,
             "every store can keep a bound of ids");
    }
  } catch (const http::ProblemError& error) {
    expect(error.problem().status() == 422, "a faulty query is 422");
  }
}

}  // namespace

void credits::tests::try_bytes(std::string_view bytes) {
  const http::Target target = http::split_target(bytes);
  expect(target.path == "/" || is_part(target.path, bytes), "the path is a part of the target");
  expect(is_part(target.query, bytes), "the query is a part of the target");
  for (const std::string_view segment : target.segments) {
    expect(segment.find('/') == std::string_view::npos, "a segment has no slash");
    check_identifier(segment);
  }
  for (const std::string_view method : {"GET", "HEAD", "POST", "PUT", "DELETE"}) {
    const auto match = http::match_route(method, target.segments);
    expect(match.route == nullptr || match.variables.size() <= 2,
           "a call has at most two variables");
  }
  check_query(target.query);
}
