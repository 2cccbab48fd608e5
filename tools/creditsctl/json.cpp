#include "tools/creditsctl/json.hpp"

#include <algorithm>
#include <string_view>

#include "tools/creditsctl/failure.hpp"
#include "tools/creditsctl/table.hpp"

namespace credits::creditsctl {

namespace {

[[noreturn]] void fail(const std::string& what) {
  throw Failure{failed, "the server's answer " + what + "; does --url lead to a creditsd?"};
}

constexpr std::size_t depth_max = 64;

// Nesting depth of its objects and arrays.
std::size_t depth_of(std::string_view text) {
  std::size_t depth = 0;
  std::size_t deepest = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string && c == '\\') ++i;
    if (c == '"') in_string = !in_string;
    if (in_string) continue;
    if (c == '[' || c == '{') deepest = std::max(deepest, ++depth);
    if ((c == ']' || c == '}') && depth > 0) --depth;
  }
  return deepest;
}

}  // namespace

rapidjson::Document parse_object(const std::string& text) {
  if (depth_of(text) > depth_max) fail("is nested too deeply");
  rapidjson::Document document;
  document.Parse<rapidjson::kParseIterativeFlag | rapidjson::kParseValidateEncodingFlag>(
      text.data(), text.size());
  if (document.HasParseError() || !document.IsObject()) fail("is not a JSON object");
  return document;
}

const Json& member(const Json& object, const char* name) {
  if (!object.IsObject()) fail("has no object with \"" + std::string{name} + "\"");
  const auto found = object.FindMember(name);
  if (found == object.MemberEnd()) fail("has no \"" + std::string{name} + "\"");
  return found->value;
}

const Json& object(const Json& around, const char* name) {
  const Json& value = member(around, name);
  if (!value.IsObject()) fail("has no object \"" + std::string{name} + "\"");
  return value;
}

const Json& array(const Json& object, const char* name) {
  const Json& value = member(object, name);
  if (!value.IsArray()) fail("has no array \"" + std::string{name} + "\"");
  return value;
}

std::string text(const Json& object, const char* name) {
  const Json& value = member(object, name);
  if (!value.IsString()) fail("has no string \"" + std::string{name} + "\"");
  return {value.GetString(), value.GetStringLength()};
}

double number(const Json& object, const char* name) {
  const Json& value = member(object, name);
  if (!value.IsNumber()) fail("has no number \"" + std::string{name} + "\"");
  return value.GetDouble();
}

std::string in_words(const Json& value) {
  if (value.IsNull()) return "-";
  if (value.IsString()) return {value.GetString(), value.GetStringLength()};
  return to_json(value);
}

std::string file_as_json(const std::string& file, std::uint64_t bytes) {
  return to_json([&](Writer& out) {
    out.StartObject();
    out.Key("file");
    out.String(harmless(file).c_str());
    out.Key("bytes");
    out.Uint64(bytes);
    out.EndObject();
  });
}

std::string to_json(const Json& value) {
  return to_json([&value](Writer& out) { value.Accept(out); });
}

}  // namespace credits::creditsctl
