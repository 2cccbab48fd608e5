#include "http/install_id.hpp"

#include <algorithm>

namespace credits::http {

std::optional<std::string> fault_of_install_id(std::string_view install_id) {
  if (install_id.empty()) return "an install id must not be empty";
  if (install_id.size() > install_id_bytes_max) {
    return "an install id has at most " + std::to_string(install_id_bytes_max) +
           " bytes, this one has " + std::to_string(install_id.size());
  }
  if (install_id == "." || install_id == "..") {
    return "\"" + std::string{install_id} + "\" cannot be an install id";
  }
  const auto odd =
      std::find_if(install_id.begin(), install_id.end(), [](char c) { return c < '!' || c > '~'; });
  if (odd != install_id.end()) {
    return "an install id is printable ASCII without space; byte " +
           std::to_string(odd - install_id.begin() + 1) + " is not";
  }
  return std::nullopt;
}

}  // namespace credits::http
