// Chooses the requests to send: seeded choices of operation, install and tier.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "tools/creditsload/settings.hpp"

namespace credits::creditsload {

// A request's effect on an install, if it is answered with 2xx.
struct Effect {
  std::size_t install = 0;  // its number
  std::uint64_t mutations = 0;
  std::int64_t credits = 0;  // debited
  bool is_gemini = false;
  bool may_create = false;  // one more mutation if the install is new
};

struct Request {
  Kind kind = Kind::plan;
  std::string target{};
  std::string body{};
  std::string idempotency_key{};  // empty: none
  std::vector<Effect> effects{};  // in a batch, one for each operation
};

class Traffic {
 public:
  explicit Traffic(const Settings& settings);

  Request next();

  // Returns the settle for the reservation in `answer` to `reserve`. Throws creditsctl::Failure if
  // the answer has none.
  Request settle(const Request& reserve, const std::string& answer) const;

  std::string install_id(std::size_t number) const;

 private:
  template <class Distribution>
  auto pick(Distribution& distribution) {
    return distribution(random_);
  }
  Request plan();
  Request commit();
  Request reserve();
  Request batch();
  std::string next_key();
  std::string call(std::size_t install, const std::string& what) const;

  const Settings& settings_;
  std::mt19937_64 random_;
  std::vector<std::string> what_;
  std::discrete_distribution<std::size_t> mix_;
  std::vector<std::string> tiers_;
  std::discrete_distribution<std::size_t> tier_;
  std::vector<double> zipf_;  // cumulative shares; empty: uniform
  std::uint64_t keys_ = 0;

  std::size_t pick_install();
  const std::string& pick_tier() { return tiers_[pick(tier_)]; }
};

}  // namespace credits::creditsload
