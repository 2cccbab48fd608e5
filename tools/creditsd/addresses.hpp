// The value of --listen: one address, or several separated by commas.
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

#include "http/server/address.hpp"

namespace credits::creditsd {

// The text names the address and its fault.
class AddressError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Throws AddressError.
std::vector<http::Address> parse_addresses(const std::string& text);

}  // namespace credits::creditsd
