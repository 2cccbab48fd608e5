// Checks the text of errors.
#pragma once

#include <exception>
#include <initializer_list>
#include <string>
#include <string_view>

#include "tests/catch.hpp"

namespace credits::tests {

// Returns the text of the Error that `work` throws.
template <class Error, class Work>
std::string told_by(Work work) {
  try {
    work();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

inline void check_tells(const std::string& text, std::initializer_list<std::string_view> parts) {
  for (const std::string_view part : parts) {
    INFO("\"" << text << "\" should contain \"" << part << "\"");
    CHECK(text.find(part) != std::string::npos);
  }
}

}  // namespace credits::tests
