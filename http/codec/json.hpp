// RapidJSON, set up for untrusted input: it checks UTF-8, nesting cannot exhaust the stack, a NUL
// does not end the text early, and duplicate fields are found. Only http/codec includes it
// directly.
#pragma once

#include <rapidjson/document.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

namespace credits::http::codec {

using Json = rapidjson::Value;
using Writer = rapidjson::Writer<rapidjson::StringBuffer>;

// The text names the fault and its place: line, column and byte.
class JsonError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The text is JSON, but has a number that is out of range.
class JsonNumberError : public JsonError {
 public:
  using JsonError::JsonError;
};

// Throws JsonError if `text` is not one JSON value in UTF-8, or has a number like 1e400.
rapidjson::Document parse_json(std::string_view text);

inline std::string_view text_of(const Json& string) {
  return {string.GetString(), string.GetStringLength()};
}

// The type of `value`, for an error message: "a string", "null", …
std::string_view type_name(const Json& value);

// The name of a duplicate member of `object`; empty if there is none.
std::string_view repeated_member(const Json& object);

inline void write(Writer& out, std::string_view text) {
  out.String(text.data(), static_cast<rapidjson::SizeType>(text.size()));
}

// The JSON that `write_to` writes to the Writer it is given.
template <class WriteTo>
std::string to_json(WriteTo write_to) {
  constexpr std::size_t capacity_bytes = 1024;  // most answers are smaller
  rapidjson::StringBuffer buffer{nullptr, capacity_bytes};
  Writer out{buffer};
  write_to(out);
  return {buffer.GetString(), buffer.GetSize()};
}

}  // namespace credits::http::codec
