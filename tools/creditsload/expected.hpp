// What the answers of a load make of each install, and whether the server agrees. A request that
// was not answered, or with 5xx, may have been done or not: then either is right.
#pragma once

#include <cstdint>
#include <functional>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "tools/creditsload/traffic.hpp"

namespace credits::creditsload {

// Of all requests on one install.
struct Sum {
  std::uint64_t mutations = 0;
  std::int64_t consumed = 0;
  std::int64_t gemini = 0;

  void add(const Effect& effect);
  friend bool operator==(const Sum&, const Sum&) = default;
};

class Expected {
 public:
  explicit Expected(std::size_t installs);

  // The server's state before the load.
  void start(std::size_t install, const Sum& sum);
  void acknowledged(const Effect& effect);
  void doubtful(const Effect& effect);

  // What is wrong with the server's state, in words; nothing if it may be so.
  std::optional<std::string> fault_of(std::size_t install, const Sum& actual) const;
  // How many installs have requests that may have been done or not.
  std::size_t doubtful_installs() const;

 private:
  std::vector<Sum> acknowledged_;
  std::vector<Sum> doubtful_;
  std::vector<bool> exists_;      // from the start
  std::vector<bool> may_create_;  // a plan was sent: whether it came first, nobody knows
};

// Asks the server for every install, many at once. A consumption that the month's end has reset is
// told as nothing.
class StateReader {
 public:
  using Post = std::function<std::string(const std::string& target, const std::string& body)>;

  StateReader(const Traffic& traffic, std::size_t installs, Post post);

  // Throws creditsctl::Failure if the server cannot be asked.
  void read(const std::function<void(std::size_t install, const Sum& sum)>& take);

 private:
  void read_some(std::size_t begin, std::size_t end,
                 const std::function<void(std::size_t, const Sum&)>& take);

  const Traffic& traffic_;
  const std::size_t installs_;
  const Post post_;
};

}  // namespace credits::creditsload
