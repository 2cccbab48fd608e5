// A command's failure: creditsctl's exit status, and the line that explains it.
#pragma once

#include <stdexcept>
#include <string>

namespace credits::creditsctl {

inline constexpr int failed = 1;  // the server refused, a fault was found, a file cannot be used
inline constexpr int usage_error = 2;
inline constexpr int unreachable = 3;  // or unavailable: 502 to 504

class Failure : public std::runtime_error {
 public:
  Failure(int status, const std::string& text) : std::runtime_error{text}, status_{status} {}
  int status() const { return status_; }

 private:
  int status_;
};

}  // namespace credits::creditsctl
