// The framer's result for the first request in some bytes, cut into any pieces.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "http/server/framer.hpp"

namespace credits::tests {

struct Framed {
  http::Framer::State state = http::Framer::State::head;
  int status = 0;  // the refusal's
  std::string method{};
  std::string target{};
  std::string host{};
  std::string body{};
  bool keeps_alive = false;
  bool expects_continue = false;
  std::size_t size = 0;  // the request's, if it is whole

  friend bool operator==(const Framed&, const Framed&) = default;
};

inline constexpr std::size_t framed_body_bytes_max = 1'000;

inline Framed frame(const std::vector<std::string_view>& pieces,
                    const http::FramingLimits& limits = {}) {
  using State = http::Framer::State;
  http::Framer framer{limits};
  std::size_t size = 0;
  for (std::string_view piece : pieces) {
    while (!piece.empty() && framer.state() != State::complete &&
           framer.state() != State::refused) {
      const std::size_t taken = framer.take(piece);
      piece.remove_prefix(taken);
      size += taken;
      if (framer.state() == State::admitting) framer.admit_body(framed_body_bytes_max);
    }
  }
  if (framer.state() == State::refused) return {State::refused, framer.fault().status};
  if (framer.state() != State::complete) return {State::head};
  const http::RequestHead& head = framer.head();
  return {State::complete,
          0,
          std::string{head.method()},
          std::string{head.target()},
          std::string{head.host().value_or("")},
          framer.body(),
          head.keeps_alive(),
          head.expects_continue(),
          size};
}

inline std::vector<std::string_view> byte_by_byte(std::string_view bytes) {
  std::vector<std::string_view> pieces;
  for (std::size_t i = 0; i < bytes.size(); ++i) pieces.push_back(bytes.substr(i, 1));
  return pieces;
}

}  // namespace credits::tests
