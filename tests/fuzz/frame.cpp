// The bytes of a request: the framer reads them alike however they are cut into pieces, and accepts
// no head that another reader could take for two requests.
#include <algorithm>

#include "tests/fuzz/fuzz.hpp"
#include "tests/http/framed.hpp"

void credits::tests::try_bytes(std::string_view bytes) {
  const Framed at_once = frame({bytes});
  expect(frame(byte_by_byte(bytes)) == at_once, "byte by byte, it reads the same");
  if (!bytes.empty()) {
    const std::size_t cut = static_cast<unsigned char>(bytes.back()) % bytes.size();
    expect(frame({bytes.substr(0, cut), bytes.substr(cut)}) == at_once,
           "in two pieces, it reads the same");
  }
  if (at_once.state != http::Framer::State::complete) return;
  expect(frame({bytes.substr(0, at_once.size)}) == at_once, "the bytes after it do not matter");
  expect(at_once.target.starts_with('/') || at_once.target == "*", "the target is a path");
  const auto is_control = [](char c) {
    return static_cast<unsigned char>(c) <= ' ' || c == '\x7f';
  };
  for (const std::string& text : {at_once.method, at_once.target, at_once.host}) {
    expect(std::none_of(text.begin(), text.end(), is_control), "no space and no control character");
  }
  expect(at_once.body.size() <= framed_body_bytes_max, "the body is within its limit");
}
