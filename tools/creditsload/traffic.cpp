#include "tools/creditsload/traffic.hpp"

#include <algorithm>
#include <cmath>

#include "tools/creditsctl/json.hpp"

namespace credits::creditsload {

namespace {

std::vector<std::string> names_of(const Weights& weights) {
  std::vector<std::string> names;
  for (const auto& [name, weight] : weights) names.push_back(name);
  return names;
}

std::discrete_distribution<std::size_t> distribution_of(const Weights& weights) {
  std::vector<double> shares;
  for (const auto& [name, weight] : weights) shares.push_back(weight);
  return {shares.begin(), shares.end()};
}

std::vector<double> zipf_of(std::size_t installs, double exponent) {
  std::vector<double> sums;
  if (exponent == 0) return sums;
  sums.reserve(installs);
  double sum = 0;
  for (std::size_t rank = 1; rank <= installs; ++rank) {
    sum += std::pow(static_cast<double>(rank), -exponent);
    sums.push_back(sum);
  }
  return sums;
}

// The JSON of one operation, alone or in a batch.
void write_commit(creditsctl::Writer& out, const std::string& tier) {
  out.Key("backend");
  out.String("gemini");
  out.Key("tier");
  out.String(tier.c_str());
}

std::string body_with_tier(const std::string& tier) {
  return creditsctl::to_json([&tier](creditsctl::Writer& out) {
    out.StartObject();
    out.Key("tier");
    out.String(tier.c_str());
    out.EndObject();
  });
}

}  // namespace

Traffic::Traffic(const Settings& settings)
    : settings_{settings},
      random_{settings.seed},
      what_{names_of(settings.mix)},
      mix_{distribution_of(settings.mix)},
      tiers_{names_of(settings.tiers)},
      tier_{distribution_of(settings.tiers)},
      zipf_{zipf_of(settings.installs, settings.zipf_exponent)} {}

std::string Traffic::install_id(std::size_t number) const {
  return settings_.install_prefix + std::to_string(number);
}

std::size_t Traffic::pick_install() {
  if (zipf_.empty()) {
    return std::uniform_int_distribution<std::size_t>{0, settings_.installs - 1}(random_);
  }
  const double point = std::uniform_real_distribution<double>{0, zipf_.back()}(random_);
  const auto found = std::upper_bound(zipf_.begin(), zipf_.end() - 1, point);
  return static_cast<std::size_t>(found - zipf_.begin());
}

std::string Traffic::next_key() {
  if (!settings_.uses_keys) return {};
  return std::to_string(settings_.seed) + "-" + std::to_string(++keys_);
}

std::string Traffic::call(std::size_t install, const std::string& what) const {
  return "/v1/installs/" + install_id(install) + "/" + what;
}

Request Traffic::next() {
  const std::string& what = what_[pick(mix_)];
  if (what == "plan") return plan();
  if (what == "commit") return commit();
  if (what == "reserve-settle") return reserve();
  return batch();
}

Request Traffic::plan() {
  const std::size_t install = pick_install();
  return {Kind::plan,
          call(install, "plan"),
          body_with_tier(pick_tier()),
          "",
          {{install, 0, 0, false, true}}};
}

Request Traffic::commit() {
  const std::size_t install = pick_install();
  const std::string body = creditsctl::to_json([this](creditsctl::Writer& out) {
    out.StartObject();
    write_commit(out, pick_tier());
    out.EndObject();
  });
  return {Kind::commit, call(install, "commit"), body, next_key(), {{install, 1, 1, true}}};
}

Request Traffic::reserve() {
  const std::size_t install = pick_install();
  return {Kind::reserve,
          call(install, "reservations"),
          body_with_tier(pick_tier()),
          next_key(),
          {{install, 1, 0, false}}};
}

Request Traffic::settle(const Request& reserve, const std::string& answer) const {
  const auto reservation = creditsctl::parse_object(answer);
  const std::size_t install = reserve.effects.front().install;
  return {
      Kind::settle,
      call(install, "reservations/" + creditsctl::text(reservation, "reservation_id") + "/commit"),
      "",
      "",
      {{install, 1, static_cast<std::int64_t>(creditsctl::number(reservation, "credits")),
        creditsctl::text(reservation, "backend") == "gemini"}}};
}

Request Traffic::batch() {
  Request request{Kind::batch, "/v1/batch"};
  request.body = creditsctl::to_json([&](creditsctl::Writer& out) {
    out.StartObject();
    out.Key("operations");
    out.StartArray();
    for (std::size_t i = 0; i < settings_.batch_operations; ++i) {
      const std::size_t install = pick_install();
      request.effects.push_back({install, 1, 1, true});
      out.StartObject();
      out.Key("op");
      out.String("commit");
      out.Key("install_id");
      out.String(install_id(install).c_str());
      write_commit(out, pick_tier());
      if (const std::string key = next_key(); !key.empty()) {
        out.Key("idempotency_key");
        out.String(key.c_str());
      }
      out.EndObject();
    }
    out.EndArray();
    out.EndObject();
  });
  return request;
}

}  // namespace credits::creditsload
