#include "actors/base/text.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace credits::base {

namespace {

using namespace std::string_view_literals;

constexpr std::size_t printable_bytes_max = 200;

constexpr std::string_view utf8_mark = "\xef\xbb\xbf";

std::uint8_t byte_at(std::string_view text, std::size_t at) {
  return at < text.size() ? static_cast<std::uint8_t>(text[at]) : 0;
}

bool is_nul_at(std::string_view text, std::size_t at) {
  return at < text.size() && text[at] == '\0';
}

bool is_utf32(std::string_view text) {
  if (text.starts_with("\xff\xfe\0\0"sv) || text.starts_with("\0\0\xfe\xff"sv)) return true;
  // Without a mark: the first character is ASCII, with three NULs before or after it.
  return is_nul_at(text, 1) && is_nul_at(text, 2) &&
         ((is_nul_at(text, 0) && byte_at(text, 3) != 0) ||
          (byte_at(text, 0) != 0 && is_nul_at(text, 3)));
}

bool is_utf16(std::string_view text) {
  if (text.starts_with("\xff\xfe"sv) || text.starts_with("\xfe\xff"sv)) return true;
  return (is_nul_at(text, 0) && byte_at(text, 1) != 0) ||
         (byte_at(text, 0) != 0 && is_nul_at(text, 1));
}

// For the first byte of a UTF-8 character: the character's length, and the range of its second byte
// (RFC 3629: no surrogates, no overlong forms). Length 0 if no character begins with this byte.
struct Lead {
  std::size_t bytes;
  std::uint8_t second_min = 0x80;
  std::uint8_t second_max = 0xbf;
};

Lead lead_of(std::uint8_t byte) {
  if (byte < 0x80) return {1};
  if (byte < 0xc2 || byte > 0xf4) return {0};
  if (byte < 0xe0) return {2};
  if (byte == 0xe0) return {3, 0xa0};
  if (byte == 0xed) return {3, 0x80, 0x9f};
  if (byte < 0xf0) return {3};
  if (byte == 0xf0) return {4, 0x90};
  if (byte == 0xf4) return {4, 0x80, 0x8f};
  return {4};
}

bool is_character_at(std::string_view text, std::size_t at, const Lead& lead) {
  if (lead.bytes == 0 || text.size() - at < lead.bytes) return false;
  for (std::size_t i = 1; i < lead.bytes; ++i) {
    const std::uint8_t byte = byte_at(text, at + i);
    const bool is_second = i == 1;
    if (byte < (is_second ? lead.second_min : 0x80) ||
        byte > (is_second ? lead.second_max : 0xbf)) {
      return false;
    }
  }
  return true;
}

std::string in_hex(std::uint8_t byte) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  return {'0', 'x', digits[byte >> 4U], digits[byte & 0xfU]};
}

std::string place_of(std::string_view text, std::size_t at) {
  const std::string_view before = text.substr(0, at);
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const auto column = at - (before.rfind('\n') + 1) + 1;  // npos + 1 is 0
  return "line " + std::to_string(line) + ", column " + std::to_string(column) + " (byte " +
         std::to_string(at) + ")";
}

}  // namespace

std::string_view without_mark(std::string_view text) {
  return text.substr(text.starts_with(utf8_mark) ? utf8_mark.size() : 0);
}

std::optional<std::string> fault_of_encoding(std::string_view text) {
  if (is_utf32(text)) return "it is UTF-32; save it as UTF-8";
  if (is_utf16(text)) return "it is UTF-16; save it as UTF-8";
  return std::nullopt;
}

std::optional<std::string> fault_of_text(std::string_view text) {
  if (auto fault = fault_of_encoding(text)) return fault;
  for (std::size_t at = 0; at < text.size();) {
    const std::uint8_t byte = byte_at(text, at);
    if (byte == 0) return "it contains a NUL, which is not text: " + place_of(text, at);
    const Lead lead = lead_of(byte);
    if (!is_character_at(text, at, lead)) {
      return "it is not UTF-8; save it as UTF-8: " + in_hex(byte) + " at " + place_of(text, at);
    }
    at += lead.bytes;
  }
  return std::nullopt;
}

std::string printable(std::string_view text) {
  static constexpr std::string_view digits = "0123456789ABCDEF";
  std::string result;
  for (const char c : text.substr(0, printable_bytes_max)) {
    if (c >= ' ' && c <= '~') {
      result += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      result += {'%', digits[byte / 16], digits[byte % 16]};
    }
  }
  return text.size() > printable_bytes_max ? result + "…" : result;
}

}  // namespace credits::base
