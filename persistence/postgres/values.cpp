#include "persistence/postgres/values.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace credits::persistence::postgres {

namespace {

// Numbers from pg_type, which never change.
constexpr Oid int8_type = 20;
constexpr Oid text_type = 25;
constexpr Oid bytea_type = 17;
constexpr Oid int8_array_type = 1016;
constexpr Oid text_array_type = 1009;
constexpr Oid bytea_array_type = 1001;

// PostgreSQL's binary format uses network byte order.
template <class Integer>
void append_integer(std::string& bytes, Integer value) {
  for (int shift = static_cast<int>(sizeof(Integer)) * 8 - 8; shift >= 0; shift -= 8) {
    bytes += static_cast<char>(value >> shift);
  }
}

}  // namespace

void Parameters::add(std::int64_t value) {
  std::string bytes;
  append_integer(bytes, value);
  values_.push_back({int8_type, std::move(bytes)});
}

void Parameters::add(std::string_view value) { values_.push_back({text_type, std::string{value}}); }

void Parameters::add(const std::optional<std::string>& value) {
  values_.push_back({text_type, value});
}

void Parameters::add(const Array& array) {
  std::string bytes;
  append_integer(bytes, std::int32_t{array.count_ > 0});  // dimensions
  append_integer(bytes, std::int32_t{array.has_null_});
  append_integer(bytes, static_cast<std::int32_t>(array.element_type_));
  if (array.count_ > 0) {
    append_integer(bytes, static_cast<std::int32_t>(array.count_));
    append_integer(bytes, std::int32_t{1});  // the index of the first element
  }
  values_.push_back({array.array_type_, bytes + array.elements_});
}

Parameters::Array Parameters::Array::of_integers() { return {int8_array_type, int8_type}; }
Parameters::Array Parameters::Array::of_texts() { return {text_array_type, text_type}; }
Parameters::Array Parameters::Array::of_bytes() { return {bytea_array_type, bytea_type}; }

void Parameters::Array::add(std::int64_t value) {
  ++count_;
  append_integer(elements_, std::int32_t{sizeof(value)});
  append_integer(elements_, value);
}

void Parameters::Array::add(std::string_view value) {
  ++count_;
  append_integer(elements_, static_cast<std::int32_t>(value.size()));
  elements_ += value;
}

void Parameters::Array::add_null() {
  ++count_;
  has_null_ = true;
  append_integer(elements_, std::int32_t{-1});
}

std::int64_t Result::integer(int row, int column) const {
  const std::string_view value = bytes(row, column);
  const bool is_negative = value.size() > 1 && (value.front() & '\x80') != 0;
  std::uint64_t number = is_negative ? ~std::uint64_t{0} : 0;
  for (const char byte : value) number = number << 8U | static_cast<unsigned char>(byte);
  return static_cast<std::int64_t>(number);
}

std::string_view Result::bytes(int row, int column) const {
  return {::PQgetvalue(result_.get(), row, column),
          static_cast<std::size_t>(::PQgetlength(result_.get(), row, column))};
}

std::string Result::field(int code) const {
  const char* const value = ::PQresultErrorField(result_.get(), code);
  return value ? value : "";
}

}  // namespace credits::persistence::postgres
