// Adds up the answers of a load for each install, and compares the sums with the server's state. A
// request without an answer, or with a 5xx, may or may not have taken effect: either is right.
#pragma once

#include <cstdint>
#include <functional>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "tools/creditsload/traffic.hpp"

namespace credits::creditsload {

// The total effect of all requests on one install.
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

  // Describes the fault of the server's state; nullopt if the state is possible.
  std::optional<std::string> fault_of(std::size_t install, const Sum& actual) const;
  // Number of installs with requests whose outcome is unknown.
  std::size_t doubtful_installs() const;

 private:
  std::vector<Sum> acknowledged_;
  std::vector<Sum> doubtful_;
  std::vector<bool> exists_;      // before the load
  std::vector<bool> may_create_;  // a plan was sent, which creates the install if it came first
};

// Asks the server for every install, many per request. Reports monthly consumption as 0 once the
// month has ended.
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
