// Writes the fields of an answer's objects. Only http/codec and http/api/stats.cpp include it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

#include "actors/ledger/time.hpp"
#include "http/codec/json.hpp"
#include "http/codec/names.hpp"

namespace credits::http::codec {

inline void write(Writer& out, std::int64_t number) { out.Int64(number); }
inline void write(Writer& out, std::uint64_t number) { out.Uint64(number); }
inline void write(Writer& out, double number) { out.Double(number); }
inline void write(Writer& out, bool value) { out.Bool(value); }
inline void write(Writer& out, ledger::Time time) { write(out, ledger::format(time)); }
inline void write(Writer& out, ledger::Month month) { write(out, ledger::format(month)); }

template <class Named>
requires std::is_enum_v<Named>
void write(Writer& out, Named value) { write(out, name_of(value)); }

template <class Value>
void write(Writer& out, const std::optional<Value>& value) {
  value ? write(out, *value) : static_cast<void>(out.Null());
}

template <class Value>
void field(Writer& out, std::string_view name, const Value& value) {
  out.Key(name.data(), static_cast<rapidjson::SizeType>(name.size()));
  write(out, value);
}

template <class WriteFields>
void object(Writer& out, WriteFields write_fields) {
  out.StartObject();
  write_fields();
  out.EndObject();
}

template <class WriteFields>
void object_field(Writer& out, std::string_view name, WriteFields write_fields) {
  out.Key(name.data(), static_cast<rapidjson::SizeType>(name.size()));
  object(out, write_fields);
}

// `write_item` writes one of `items` as a value.
template <class Items, class WriteItem>
void array_field(Writer& out, std::string_view name, const Items& items, WriteItem write_item) {
  out.Key(name.data(), static_cast<rapidjson::SizeType>(name.size()));
  out.StartArray();
  for (const auto& item : items) write_item(item);
  out.EndArray();
}

}  // namespace credits::http::codec
