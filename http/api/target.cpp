#include "http/api/target.hpp"

#include <algorithm>
#include <charconv>

#include "actors/base/text.hpp"
#include "http/codec/problem.hpp"
#include "http/server/text.hpp"

namespace credits::http {

namespace {

std::optional<char> byte_of(std::string_view two_digits) {
  unsigned char byte = 0;
  const char* const end = two_digits.data() + two_digits.size();
  const bool is_hex = two_digits.size() == 2 &&
                      std::from_chars(two_digits.data(), end, byte, 16).ptr == end &&
                      two_digits.front() != '-';
  return is_hex ? std::optional{static_cast<char>(byte)} : std::nullopt;
}

}  // namespace

std::optional<std::string> percent_decoded(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  while (!text.empty()) {
    if (text.front() != '%') {
      result += text.front();
      text.remove_prefix(1);
      continue;
    }
    const auto byte = byte_of(text.substr(1, 2));
    if (!byte) return std::nullopt;
    result += *byte;
    text.remove_prefix(3);
  }
  return result;
}

Target split_target(std::string_view target) {
  const std::size_t question_mark = target.find('?');
  Target result;
  result.path = target.substr(0, question_mark);
  if (question_mark != std::string_view::npos) result.query = target.substr(question_mark + 1);
  if (result.path.starts_with('/')) result.segments = split(result.path.substr(1), '/');
  return result;
}

QueryParameters decode_query(std::string_view query, const std::vector<std::string_view>& known) {
  QueryParameters parameters;
  if (query.empty()) return parameters;
  for (const std::string_view part : split(query, '&')) {
    const std::size_t equals = part.find('=');
    const std::string name{part.substr(0, equals)};
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      throw ProblemError{
          invalid_request(base::printable(name),
                          "\"" + base::printable(name) + "\" is not a parameter of this call")};
    }
    const auto value = percent_decoded(equals == std::string_view::npos ? std::string_view{}
                                                                        : part.substr(equals + 1));
    if (!value) {
      throw ProblemError{invalid_request(name, name + " has a broken percent-escape")};
    }
    if (!parameters.emplace(name, *value).second) {
      throw ProblemError{invalid_request(name, name + " is given twice")};
    }
  }
  return parameters;
}

}  // namespace credits::http
