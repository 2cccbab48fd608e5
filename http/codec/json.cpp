#include "http/codec/json.hpp"

#include <rapidjson/error/en.h>
#include <rapidjson/memorystream.h>

#include <algorithm>
#include <vector>

#include "actors/base/text.hpp"

namespace credits::http::codec {

namespace {

std::string position_of(std::string_view text, std::size_t offset) {
  const std::string_view before = text.substr(0, std::min(offset, text.size()));
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const auto last_break = before.rfind('\n');
  const auto column =
      before.size() - (last_break == std::string_view::npos ? 0 : last_break + 1) + 1;
  return "line " + std::to_string(line) + ", column " + std::to_string(column) + " (byte " +
         std::to_string(offset) + ")";
}

}  // namespace

rapidjson::Document parse_json(std::string_view text) {
  if (const auto fault = base::fault_of_encoding(text)) throw JsonError{*fault};
  text = base::without_mark(text);
  constexpr unsigned flags = rapidjson::kParseIterativeFlag | rapidjson::kParseValidateEncodingFlag;
  rapidjson::MemoryStream stream{text.data(), text.size()};
  rapidjson::Document document;
  document.ParseStream<flags>(stream);
  if (document.HasParseError()) {
    const std::string fault = std::string{rapidjson::GetParseError_En(document.GetParseError())} +
                              " At " + position_of(text, document.GetErrorOffset()) + ".";
    if (document.GetParseError() == rapidjson::kParseErrorNumberTooBig) {
      throw JsonNumberError{fault};
    }
    throw JsonError{fault};
  }
  // RapidJSON treats a NUL as the end of the text.
  if (stream.Tell() < text.size()) {
    throw JsonError{"The text continues after a NUL. At " + position_of(text, stream.Tell()) + "."};
  }
  return document;
}

std::string_view type_name(const Json& value) {
  switch (value.GetType()) {
    case rapidjson::kNullType:
      return "null";
    case rapidjson::kFalseType:
    case rapidjson::kTrueType:
      return "a boolean";
    case rapidjson::kObjectType:
      return "an object";
    case rapidjson::kArrayType:
      return "an array";
    case rapidjson::kStringType:
      return "a string";
    case rapidjson::kNumberType:
      return "a number";
  }
  return "unknown";
}

std::string_view repeated_member(const Json& object) {
  std::vector<std::string_view> names;
  names.reserve(object.MemberCount());
  for (const auto& member : object.GetObject()) names.push_back(text_of(member.name));
  std::sort(names.begin(), names.end());
  const auto repeated = std::adjacent_find(names.begin(), names.end());
  return repeated == names.end() ? std::string_view{} : *repeated;
}

}  // namespace credits::http::codec
