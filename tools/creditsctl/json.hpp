// Reads the server's answers with RapidJSON. An answer that creditsd would not give is a Failure:
// the URL may lead to another server.
#pragma once

#include <rapidjson/document.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <cstdint>
#include <string>

namespace credits::creditsctl {

using Json = rapidjson::Value;
using Writer = rapidjson::Writer<rapidjson::StringBuffer>;

// Throws Failure if `text` is not a JSON object.
rapidjson::Document parse_object(const std::string& text);

// Throw Failure if the member is missing or has another type.
const Json& member(const Json& object, const char* name);
const Json& object(const Json& around, const char* name);
const Json& array(const Json& object, const char* name);
std::string text(const Json& object, const char* name);
double number(const Json& object, const char* name);

// For people: a string without quotes, null as `-`.
std::string in_words(const Json& value);

std::string to_json(const Json& value);

// Describes a file that was written.
std::string file_as_json(const std::string& file, std::uint64_t bytes);

// Returns the JSON that `write_to` writes.
template <class WriteTo>
std::string to_json(WriteTo write_to) {
  rapidjson::StringBuffer buffer;
  Writer out{buffer};
  write_to(out);
  return {buffer.GetString(), buffer.GetSize()};
}

}  // namespace credits::creditsctl
