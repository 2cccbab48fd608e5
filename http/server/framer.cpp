#include "http/server/framer.hpp"

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "http/server/text.hpp"

namespace credits::http {

namespace {

constexpr std::string_view line_end = "\r\n";
constexpr std::size_t empty_lines_bytes_max = 16;
constexpr std::size_t method_bytes_max = 32;
constexpr std::size_t version_bytes_max = 16;
constexpr std::size_t chunk_size_digits_max = 16;
constexpr std::size_t body_bytes_reserved_max = 16 * 1'024;

constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
constexpr bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
constexpr bool is_blank(char c) { return c == ' ' || c == '\t'; }

bool is_token_char(char c) {
  return is_digit(c) || is_letter(c) ||
         std::string_view{"!#$%&'*+-.^_`|~"}.find(c) != std::string_view::npos;
}

// Some readers treat what follows a `#` as a fragment, and some treat a backslash as a slash.
constexpr bool is_target_char(char c) { return c > ' ' && c < '\x7f' && c != '#' && c != '\\'; }

constexpr bool is_field_char(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return c == '\t' || (byte >= 0x20 && byte != 0x7f);
}

bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_token_char);
}

bool is_field_value(std::string_view text) {
  return std::all_of(text.begin(), text.end(), is_field_char);
}

std::string_view without_blanks(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

// Removes the leading characters of `text` for which `belongs` holds, and returns them.
template <class Belongs>
std::string_view take_while(std::string_view& text, Belongs belongs) {
  const auto end = std::find_if_not(text.begin(), text.end(), belongs);
  const auto taken = text.substr(0, static_cast<std::size_t>(end - text.begin()));
  text.remove_prefix(taken.size());
  return taken;
}

bool take_one(std::string_view& text, char wanted) {
  if (!text.starts_with(wanted)) return false;
  text.remove_prefix(1);
  return true;
}

// RFC 3986, section 3.2: a name or an address, with an optional port and without a user name.
bool is_authority(std::string_view text) {
  std::string_view rest = text;
  if (take_one(rest, '[')) {
    const auto is_address_char = [](char c) {
      return is_digit(c) || is_letter(c) || c == ':' || c == '.';
    };
    if (take_while(rest, is_address_char).empty() || !take_one(rest, ']')) return false;
  } else {
    const auto is_name_char = [](char c) {
      return is_digit(c) || is_letter(c) ||
             std::string_view{"-._~%!$&'()*+,;="}.find(c) != std::string_view::npos;
    };
    if (take_while(rest, is_name_char).empty()) return false;
  }
  if (rest.empty()) return true;
  if (!take_one(rest, ':')) return false;
  take_while(rest, is_digit);
  return rest.empty();
}

// Takes a quoted string with its escapes (RFC 9110, section 5.6.4).
bool take_quoted(std::string_view& text) {
  if (!take_one(text, '"')) return false;
  while (!text.empty()) {
    const char c = text.front();
    text.remove_prefix(1);
    if (c == '"') return true;
    if (c == '\\' && !text.empty()) text.remove_prefix(1);
  }
  return false;
}

// Takes `wanted` and the optional blanks around it; takes nothing if `wanted` does not follow.
bool take_after_blanks(std::string_view& text, char wanted) {
  std::string_view rest = text;
  take_while(rest, is_blank);
  if (!take_one(rest, wanted)) return false;
  take_while(rest, is_blank);
  text = rest;
  return true;
}

// RFC 9112, section 7.1.1: any number of `;name` and `;name=value`.
bool are_chunk_extensions(std::string_view text) {
  if (!is_field_value(text)) return false;
  while (!text.empty()) {
    if (!take_after_blanks(text, ';')) return false;
    if (take_while(text, is_token_char).empty()) return false;
    if (!take_after_blanks(text, '=')) continue;
    if (take_while(text, is_token_char).empty() && !take_quoted(text)) return false;
  }
  return true;
}

struct HeaderLine {
  std::string_view name;
  std::string_view value;
};

// Splits `line` into `header`; returns the fault of an invalid line (RFC 9112, section 5).
std::optional<std::string> fault_of_header(std::string_view line, HeaderLine& header) {
  if (is_blank(line.front())) return "a header line begins with a blank";
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return "a header line has no colon";
  header = {line.substr(0, colon), without_blanks(line.substr(colon + 1))};
  if (!is_token(header.name)) return "a header's name is empty or has an invalid character";
  if (!is_field_value(header.value)) return "a header's value has a control character";
  return std::nullopt;
}

}  // namespace

std::size_t Framer::take(std::string_view bytes) {
  std::size_t taken = 0;
  while (taken < bytes.size() && takes_more()) {
    taken += take_some(bytes.substr(taken));
  }
  return taken;
}

std::size_t Framer::take_some(std::string_view bytes) {
  switch (step_) {
    case Step::empty_line:
      return take_empty_line(bytes);
    case Step::method:
      return take_method(bytes);
    case Step::target:
      return take_target(bytes);
    case Step::version:
      return take_line(bytes, version_bytes_max, {400, "the request line has no valid version"},
                       [this](std::string_view line) { end_version(line); });
    case Step::header:
      return take_header(bytes);
    case Step::fixed_body:
      return take_body_bytes(bytes, Step::fixed_body);
    case Step::chunk_line:
      return take_line(bytes, limits_.chunk_line_bytes_max,
                       {400, "the line of a chunk is too long"},
                       [this](std::string_view line) { end_chunk_line(line); });
    case Step::chunk:
      return take_body_bytes(bytes, Step::chunk_end);
    case Step::chunk_end:
      return take_chunk_end(bytes);
    case Step::trailer:
      return take_trailer(bytes);
  }
  return bytes.size();
}

// RFC 9112, section 2.2.
std::size_t Framer::take_empty_line(std::string_view bytes) {
  const bool is_in_line_end = step_bytes_ % line_end.size() != 0;
  const char expected = line_end[step_bytes_ % line_end.size()];
  if (bytes.front() != expected) {
    if (is_in_line_end) refuse("a CR is not followed by LF");
    step_ = Step::method;
    return 0;
  }
  if (++step_bytes_ > empty_lines_bytes_max) refuse("too many empty lines before the request");
  return 1;
}

std::size_t Framer::take_method(std::string_view bytes) {
  std::string_view rest = bytes;
  const std::string_view token = take_while(rest, is_token_char);
  if (head_.text_.size() + token.size() > method_bytes_max) {
    refuse(501, "the method is longer than any known method");
    return bytes.size();
  }
  head_.text_ += token;
  if (rest.empty()) return token.size();
  if (rest.front() != ' ' || head_.text_.empty()) {
    refuse("the request line does not begin with a method");
    return bytes.size();
  }
  head_.method_ = {0, static_cast<std::uint32_t>(head_.text_.size())};
  head_.target_.begin = head_.method_.size;
  step_ = Step::target;
  return token.size() + 1;
}

std::size_t Framer::take_target(std::string_view bytes) {
  std::string_view rest = bytes;
  const std::string_view part = take_while(rest, is_target_char);
  const std::size_t size = head_.text_.size() - head_.target_.begin + part.size();
  if (size > limits_.target_bytes_max) {
    refuse(414, "the target has more than " + std::to_string(limits_.target_bytes_max) + " bytes");
    return bytes.size();
  }
  head_.text_ += part;
  if (rest.empty()) return part.size();
  if (rest.front() != ' ' || size == 0) {
    refuse("the target is empty, has an invalid character, or is not followed by a version");
    return bytes.size();
  }
  head_.target_.size = static_cast<std::uint32_t>(size);
  step_ = Step::version;
  return part.size() + 1;
}

// Calls `take` with each complete line, without its end.
template <class TakeLine>
std::size_t Framer::take_line(std::string_view bytes, std::size_t bytes_max,
                              const RequestFault& too_long, TakeLine take) {
  const std::size_t newline = bytes.find('\n');
  const bool is_whole = newline != std::string_view::npos;
  const std::string_view part = is_whole ? bytes.substr(0, newline + 1) : bytes;
  if (line_.size() + part.size() > bytes_max) {
    refuse(too_long.status, too_long.detail);
    return bytes.size();
  }
  if (!is_whole || !line_.empty()) line_ += part;
  if (!is_whole) return part.size();
  const std::string kept = std::exchange(line_, {});
  std::string_view line = kept.empty() ? part : std::string_view{kept};
  if (!line.ends_with(line_end)) {
    refuse("a line ends without CR");
  } else {
    line.remove_suffix(line_end.size());
    take(line);
  }
  return part.size();
}

void Framer::end_version(std::string_view line) {
  constexpr std::string_view name = "HTTP/";
  const bool is_version = line.size() == name.size() + 3 && line.starts_with(name) &&
                          is_digit(line[5]) && line[6] == '.' && is_digit(line[7]);
  if (!is_version) return refuse("the request line has no valid version");
  if (line[5] != '1') return refuse(505, "the version is not HTTP/1");
  head_.minor_version_ = line[7] == '0' ? 0 : 1;
  step_ = Step::header;
  step_bytes_ = 0;
}

std::size_t Framer::take_header(std::string_view bytes) {
  static const RequestFault too_large{431, "the headers are too large"};
  return take_line(bytes, limits_.head_bytes_max - step_bytes_, too_large,
                   [this](std::string_view line) {
                     step_bytes_ += line.size() + line_end.size();
                     line.empty() ? end_head() : end_header(line);
                   });
}

void Framer::end_header(std::string_view line) {
  HeaderLine header;
  if (auto fault = fault_of_header(line, header)) return refuse(*std::move(fault));
  if (head_.headers_.size() == limits_.headers_max) {
    return refuse(431, "there are more than " + std::to_string(limits_.headers_max) + " headers");
  }
  const auto begin = static_cast<std::uint32_t>(head_.text_.size());
  head_.text_ += header.value;
  head_.headers_.push_back(
      {field_of(header.name), {begin, static_cast<std::uint32_t>(header.value.size())}});
}

void Framer::end_head() {
  state_ = State::admitting;
  check_target();
  check_host();
  read_connection();
  read_expectation();
  read_body_length();
}

// RFC 9112, section 3.2.
void Framer::check_target() {
  const std::string target{head_.target()};
  if (head_.method() == "CONNECT")
    return refuse(501, "CONNECT is for proxies, and this server is not one");
  if (target.starts_with('/')) return;
  if (target == "*" && head_.method() == "OPTIONS") return;
  std::string_view rest = target;
  const std::string_view scheme = rest.substr(0, rest.find("://"));
  const bool is_absolute =
      equal_without_case(scheme, "http") || equal_without_case(scheme, "https");
  if (!is_absolute || scheme.size() == rest.size()) {
    return refuse("the target is neither a path nor an HTTP URL");
  }
  rest.remove_prefix(scheme.size() + 3);
  const std::string_view authority = rest.substr(0, rest.find_first_of("/?"));
  if (!is_authority(authority)) return refuse("the target's host is not valid");
  rest.remove_prefix(authority.size());
  const auto append = [this](std::string_view part) {
    const auto begin = static_cast<std::uint32_t>(head_.text_.size());
    head_.text_ += part;
    return RequestHead::Place{begin, static_cast<std::uint32_t>(part.size())};
  };
  head_.authority_ = append(authority);
  head_.target_ = append(rest.starts_with('/') ? std::string{rest} : "/" + std::string{rest});
}

void Framer::check_host() {
  const auto hosts = head_.values(Field::host);
  if (hosts.size() > 1) return refuse("Host is given twice");
  if (hosts.empty()) {
    if (head_.minor_version_ > 0) refuse("Host is missing");
    return;
  }
  if (!is_authority(hosts.front())) refuse("Host is not a valid host");
}

void Framer::read_connection() {
  head_.keeps_alive_ = head_.minor_version_ > 0;
  for (const std::string_view value : head_.values(Field::connection)) {
    if (lists(value, "keep-alive")) head_.keeps_alive_ = true;
  }
  for (const std::string_view value : head_.values(Field::connection)) {
    if (lists(value, "close")) head_.keeps_alive_ = false;
  }
}

// RFC 9110, section 10.1.1.
void Framer::read_expectation() {
  for (const std::string_view value : head_.values(Field::expect)) {
    if (!equal_without_case(value, "100-continue")) {
      return refuse(417, "Expect is not 100-continue");
    }
    head_.expects_continue_ = head_.minor_version_ > 0;
  }
}

// RFC 9112, section 6.
void Framer::read_body_length() {
  const auto lengths = head_.values(Field::content_length);
  if (head_.has(Field::transfer_encoding)) {
    if (!lengths.empty()) {
      return refuse("Content-Length and Transfer-Encoding exclude each other");
    }
    return read_transfer_encoding();
  }
  if (lengths.empty()) return;
  if (lengths.size() > 1) return refuse("Content-Length is given twice");
  const std::string_view text = lengths.front();
  if (text.empty() || !std::all_of(text.begin(), text.end(), is_digit)) {
    return refuse("Content-Length is not a number");
  }
  const auto result =
      std::from_chars(text.data(), text.data() + text.size(), head_.content_length_);
  if (result.ec != std::errc{}) {
    head_.content_length_ = std::numeric_limits<std::uint64_t>::max();
  }
}

void Framer::read_transfer_encoding() {
  const auto values = head_.values(Field::transfer_encoding);
  if (head_.minor_version_ == 0) return refuse("HTTP/1.0 has no Transfer-Encoding");
  if (values.size() > 1) return refuse("Transfer-Encoding is given twice");
  const auto codings = split(values.front(), ',');
  if (!equal_without_case(without_blanks(codings.back()), "chunked")) {
    return refuse("Transfer-Encoding does not end with chunked");
  }
  if (codings.size() > 1) return refuse(501, "Transfer-Encoding lists more than chunked");
  head_.is_chunked_ = true;
}

void Framer::skip_body(std::size_t bytes_max) {
  is_body_wanted_ = false;
  admit_body(bytes_max);
}

void Framer::admit_body(std::size_t bytes_max) {
  body_bytes_max_ = bytes_max;
  state_ = State::body;
  if (head_.is_chunked_) {
    step_ = Step::chunk_line;
    return;
  }
  if (head_.content_length_ > bytes_max) {
    return refuse(413, "the body has more than " + std::to_string(bytes_max) + " bytes");
  }
  step_ = Step::fixed_body;
  bytes_left_ = head_.content_length_;
  if (is_body_wanted_) {
    body_.reserve(std::min<std::size_t>(bytes_left_, body_bytes_reserved_max));
  }
  if (bytes_left_ == 0) state_ = State::complete;
}

std::size_t Framer::take_body_bytes(std::string_view bytes, Step next) {
  const std::size_t count = std::min<std::uint64_t>(bytes_left_, bytes.size());
  if (is_body_wanted_) body_ += bytes.substr(0, count);
  body_bytes_ += count;
  bytes_left_ -= count;
  if (bytes_left_ > 0) return count;
  if (step_ == Step::fixed_body) state_ = State::complete;
  step_ = next;
  step_bytes_ = 0;
  return count;
}

void Framer::end_chunk_line(std::string_view line) {
  const auto is_hex = [](char c) {
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
  };
  const std::string_view digits = take_while(line, is_hex);
  if (digits.empty() || digits.size() > chunk_size_digits_max) {
    return refuse("a chunk's size is not a hexadecimal number");
  }
  if (!are_chunk_extensions(line))
    return refuse("a chunk's size is followed by an invalid extension");
  std::from_chars(digits.data(), digits.data() + digits.size(), bytes_left_, 16);
  if (bytes_left_ > body_bytes_max_ - body_bytes_) {
    return refuse(413, "the body has more than " + std::to_string(body_bytes_max_) + " bytes");
  }
  step_ = bytes_left_ > 0 ? Step::chunk : Step::trailer;
  step_bytes_ = 0;
}

std::size_t Framer::take_chunk_end(std::string_view bytes) {
  if (bytes.front() != line_end[step_bytes_]) {
    refuse("a chunk does not end where its size says");
  } else if (++step_bytes_ == line_end.size()) {
    step_ = Step::chunk_line;
    step_bytes_ = 0;
  }
  return 1;
}

std::size_t Framer::take_trailer(std::string_view bytes) {
  static const RequestFault too_large{431, "the trailers are too large"};
  return take_line(bytes, limits_.trailer_bytes_max - step_bytes_, too_large,
                   [this](std::string_view line) {
                     step_bytes_ += line.size() + line_end.size();
                     HeaderLine ignored;
                     if (line.empty()) {
                       state_ = State::complete;
                     } else if (auto fault = fault_of_header(line, ignored)) {
                       refuse(*std::move(fault));
                     }
                   });
}

// Keeps the first fault.
void Framer::refuse(int status, std::string detail) {
  if (state_ == State::refused) return;
  state_ = State::refused;
  fault_ = {status, std::move(detail)};
}

void Framer::begin_next(bool is_idle) {
  state_ = State::head;
  step_ = Step::empty_line;
  step_bytes_ = 0;
  RequestHead next;
  if (!is_idle) {
    next.text_ = std::move(head_.text_);
    next.text_.clear();
    next.headers_ = std::move(head_.headers_);
    next.headers_.clear();
  }
  std::swap(head_, next);  // an assignment would keep the old text's memory
  line_.clear();
  body_bytes_ = 0;
  is_body_wanted_ = true;
  drop_body();
}

}  // namespace credits::http
