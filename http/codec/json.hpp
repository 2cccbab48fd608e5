// RapidJSON, set up for input from strangers: UTF-8 is checked, nesting cannot exhaust the stack, a
// NUL does not end the text early, and a field given twice is an error. Nothing but http/codec
// includes it.
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

// JSON, but with a number that is out of any range.
class JsonNumberError : public JsonError {
 public:
  using JsonError::JsonError;
};

// Throws JsonError if `text` is not one JSON value in UTF-8, or has a number like 1e400.
rapidjson::Document parse_json(std::string_view text);

inline std::string_view text_of(const Json& string) {
  return {string.GetString(), string.GetStringLength()};
}

// What `value` is, for an error message: "a string", "null", …
std::string_view type_name(const Json& value);

// The name of a member of `object` that stands in it twice; empty if none does.
std::string_view repeated_member(const Json& object);

inline void write(Writer& out, std::string_view text) {
  out.String(text.data(), static_cast<rapidjson::SizeType>(text.size()));
}

// What `write_to` writes to the Writer that it is given.
template <class WriteTo>
std::string to_json(WriteTo write_to) {
  constexpr std::size_t capacity_bytes = 1024;  // most answers are smaller
  rapidjson::StringBuffer buffer{nullptr, capacity_bytes};
  Writer out{buffer};
  write_to(out);
  return {buffer.GetString(), buffer.GetSize()};
}

}  // namespace credits::http::codec
