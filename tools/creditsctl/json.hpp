// The server's answers, read with RapidJSON. An answer that is not what creditsd would say is a
// Failure, as it is when a URL leads to some other server.
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

// Throw Failure if there is no such member, or not of this type.
const Json& member(const Json& object, const char* name);
const Json& object(const Json& around, const char* name);
const Json& array(const Json& object, const char* name);
std::string text(const Json& object, const char* name);
double number(const Json& object, const char* name);

// As people read it: a string without quotes, null as `-`.
std::string in_words(const Json& value);

std::string to_json(const Json& value);

// What is said of a file that was written.
std::string file_as_json(const std::string& file, std::uint64_t bytes);

// What `write_to` writes to the Writer that it is given.
template <class WriteTo>
std::string to_json(WriteTo write_to) {
  rapidjson::StringBuffer buffer;
  Writer out{buffer};
  write_to(out);
  return {buffer.GetString(), buffer.GetSize()};
}

}  // namespace credits::creditsctl
