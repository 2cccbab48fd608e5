#include "http/codec/request.hpp"

#include <algorithm>
#include <initializer_list>
#include <optional>
#include <string>

#include "http/codec/json.hpp"
#include "http/problem.hpp"

namespace credits::http::codec {

namespace {

constexpr std::int64_t credits_min = 1;
constexpr std::int64_t credits_max = 1'000'000;
constexpr std::size_t field_bytes_max = 200;  // a longer name of a field is not repeated whole

[[noreturn]] void refuse(std::string_view name, const std::string& what) {
  const std::string shown = printable(name);
  const std::string field = name.size() <= field_bytes_max ? std::string{name} : shown;
  throw ProblemError{invalid_request(field, "\"" + shown + "\" " + what)};
}

// The fields of a request body; those of the call are taken one by one.
class Fields {
 public:
  Fields(std::string_view body, std::initializer_list<std::string_view> known) {
    if (body.empty()) return;
    document_ = parse(body);
    if (!document_.IsObject()) {
      throw ProblemError{invalid_request(
          std::nullopt, "the body must be an object, it is " + std::string{type_name(document_)})};
    }
    for (const auto& member : document_.GetObject()) {
      const std::string_view name = text_of(member.name);
      if (std::find(known.begin(), known.end(), name) == known.end()) {
        refuse(name, "is not a field of this call");
      }
    }
    const std::string_view repeated = repeated_member(document_);
    if (!repeated.empty()) refuse(repeated, "is given twice");
  }

  std::optional<std::string> string(const char* name) const {
    const Json* value = find(name);
    if (!value) return std::nullopt;
    if (!value->IsString()) refuse_type(name, "a string", *value);
    return std::string{text_of(*value)};
  }

  std::optional<bool> boolean(const char* name) const {
    const Json* value = find(name);
    if (!value) return std::nullopt;
    if (!value->IsBool()) refuse_type(name, "a boolean", *value);
    return value->GetBool();
  }

  std::optional<std::int64_t> integer(const char* name, std::int64_t min, std::int64_t max) const {
    const Json* value = find(name);
    if (!value) return std::nullopt;
    const std::string range =
        "an integer from " + std::to_string(min) + " to " + std::to_string(max);
    if (!value->IsNumber()) refuse_type(name, range, *value);
    if (!value->IsInt64() || value->GetInt64() < min || value->GetInt64() > max) {
      refuse(name, "must be " + range);
    }
    return value->GetInt64();
  }

  std::int64_t credits() const { return integer("credits", credits_min, credits_max).value_or(1); }

 private:
  static rapidjson::Document parse(std::string_view body) {
    try {
      return parse_json(body);
    } catch (const JsonNumberError& error) {
      throw ProblemError{invalid_request(std::nullopt, error.what())};
    } catch (const JsonError& error) {
      throw ProblemError{invalid_json(error.what())};
    }
  }

  [[noreturn]] static void refuse_type(std::string_view name, const std::string& expected,
                                       const Json& value) {
    refuse(name, "must be " + expected + ", it is " + std::string{type_name(value)});
  }

  const Json* find(const char* name) const {
    const auto member = document_.FindMember(name);
    return member == document_.MemberEnd() ? nullptr : &member->value;
  }

  rapidjson::Document document_{rapidjson::kObjectType};
};

template <class Value>
Value required(std::optional<Value> value, std::string_view field) {
  if (!value) refuse(field, "is required");
  return *std::move(value);
}

ledger::Backend to_backend(const std::string& name) {
  if (name == "gemini") return ledger::Backend::gemini;
  if (name == "hardware") return ledger::Backend::hardware;
  refuse("backend", R"(must be "gemini" or "hardware")");
}

}  // namespace

actors::Plan decode_plan(std::string_view body) {
  const Fields fields{body, {"tier", "has_hardware", "credits"}};
  return {fields.string("tier"), fields.boolean("has_hardware"), fields.credits()};
}

actors::Commit decode_commit(std::string_view body) {
  const Fields fields{body, {"backend", "tier", "credits"}};
  const auto backend = to_backend(required(fields.string("backend"), "backend"));
  return {backend, required(fields.string("tier"), "tier"), fields.credits()};
}

void decode_nothing(std::string_view body) { Fields{body, {}}; }

}  // namespace credits::http::codec
