#include "tools/creditsctl/json.hpp"

#include "tools/creditsctl/failure.hpp"

namespace credits::creditsctl {

namespace {

[[noreturn]] void fail(const std::string& what) {
  throw Failure{failed, "the server's answer " + what + "; does --url lead to a creditsd?"};
}

}  // namespace

rapidjson::Document parse_object(const std::string& text) {
  rapidjson::Document document;
  document.Parse<rapidjson::kParseIterativeFlag | rapidjson::kParseValidateEncodingFlag>(
      text.data(), text.size());
  if (document.HasParseError() || !document.IsObject()) fail("is not a JSON object");
  return document;
}

const Json& member(const Json& object, const char* name) {
  if (!object.IsObject()) fail("has no object around \"" + std::string{name} + "\"");
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

std::string to_json(const Json& value) {
  return to_json([&value](Writer& out) { value.Accept(out); });
}

}  // namespace credits::creditsctl
