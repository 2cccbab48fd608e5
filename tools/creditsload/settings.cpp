#include "tools/creditsload/settings.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <random>
#include <sstream>
#include <string_view>
#include <vector>

#include "http/server/text.hpp"
#include "tools/creditsctl/failure.hpp"

namespace credits::creditsload {

namespace {

constexpr double day_seconds = 86'400;
constexpr std::size_t prefix_bytes_max = 100;
constexpr const char* plain_characters =
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_.";

const CLI::AsNumberWithUnit in_seconds{
    std::map<std::string, double>{{"ms", 0.001}, {"s", 1}, {"m", 60}, {"h", 3'600}},
    CLI::AsNumberWithUnit::CASE_SENSITIVE, "DURATION"};

std::optional<double> to_weight(std::string_view text) {
  double weight = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), weight);
  const bool is_number = error == std::errc{} && end == text.data() + text.size();
  return is_number && weight >= 0 ? std::optional{weight} : std::nullopt;
}

Weights parse_weights(const std::string& option, const std::string& text) {
  Weights weights;
  double sum = 0;
  for (const std::string_view part : http::split(text, ',')) {
    const std::size_t sign = part.find('=');
    const auto weight =
        sign == std::string_view::npos ? std::optional{1.0} : to_weight(part.substr(sign + 1));
    const std::string name{part.substr(0, sign)};
    if (name.empty() || !weight) {
      throw CLI::ValidationError{option, "\"" + std::string{part} + "\" is not NAME=SHARE"};
    }
    if (!weights.emplace(name, *weight).second) {
      throw CLI::ValidationError{option, "\"" + name + "\" is given twice"};
    }
    sum += *weight;
  }
  if (sum <= 0) throw CLI::ValidationError{option, "all shares are 0"};
  return weights;
}

void add_weights(CLI::App& app, const std::string& option, Weights& weights,
                 const std::vector<std::string>& names, const std::string& help) {
  app.add_option_function<std::string>(
         option,
         [&weights, option, names](const std::string& text) {
           weights = parse_weights(option, text);
           for (const auto& [name, weight] : weights) {
             if (names.empty() || std::find(names.begin(), names.end(), name) != names.end()) {
               continue;
             }
             throw CLI::ValidationError{
                 option, "unknown name \"" + name + "\"; use: " + CLI::detail::join(names, ", ")};
           }
         },
         help)
      ->type_name("NAME=SHARE,…");
}

std::string in_words(const Weights& weights) {
  std::ostringstream words;
  for (const auto& [name, weight] : weights) {
    words << (words.tellp() > 0 ? "," : "") << name << '=' << weight;
  }
  return words.str();
}

}  // namespace

void add_settings(CLI::App& app, Settings& settings) {
  app.option_defaults()->always_capture_default();
  app.add_option("--connections", settings.connections, "Connections that send requests")
      ->check(CLI::Range(1, 20'000));
  app.add_option("--idle-connections", settings.idle_connections,
                 "Additional connections that stay idle")
      ->check(CLI::Range(0, 20'000));
  app.add_option("--rate", settings.rate,
                 "Operations to begin per second, whether or not answers come (open loop); 0: each "
                 "connection begins its next one when the last is answered (closed loop)")
      ->check(CLI::Range(0.0, 1e6));
  app.add_option("--duration", settings.duration_seconds, "Length of the measurement")
      ->transform(in_seconds)
      ->check(CLI::Range(0.1, day_seconds));
  app.add_option("--warm-up", settings.warm_up_seconds, "Load before the measurement")
      ->transform(in_seconds)
      ->check(CLI::Range(0.0, day_seconds));
  app.add_option("--timeout", settings.timeout_seconds, "Timeout of each request")
      ->transform(in_seconds)
      ->check(CLI::Range(0.01, 600.0));
  app.add_option("--installs", settings.installs, "Number of installs to choose from")
      ->check(CLI::Range(1, 10'000'000));
  app.add_option("--install-prefix", settings.install_prefix,
                 "Prefix of their ids [default: unique to this run]");
  app.add_option("--zipf", settings.zipf_exponent,
                 "Exponent of the Zipf distribution of installs; 0: uniform")
      ->check(CLI::Range(0.0, 10.0));
  add_weights(app, "--mix", settings.mix, {"plan", "commit", "reserve-settle", "batch"},
              "Shares of operations: plan, commit, reserve-settle, batch (of commits)");
  add_weights(app, "--tiers", settings.tiers, {}, "Shares of the tiers that requests name");
  app.add_option("--batch-operations", settings.batch_operations, "Operations per batch")
      ->check(CLI::Range(1, 8'192));
  app.add_flag("--idempotency-keys", settings.uses_keys,
               "Send a new key with each commit and reserve");
  app.add_option("--seed", settings.seed, "Seed of all random choices; 0: random");
  app.add_flag("--verify", settings.verifies,
               "Compare the answers with the server's state of each install at the end; nothing "
               "else may write to the installs");
  app.add_option("--json", settings.json_file, "Write the report as JSON")->type_name("FILE");
  app.add_option("--html", settings.html_file, "Write the report as a page with plots")
      ->type_name("FILE");
}

void complete(Settings& settings) {
  creditsctl::url_of(settings.server);
  if (settings.install_prefix.find_first_not_of(plain_characters) != std::string::npos ||
      settings.install_prefix.size() > prefix_bytes_max) {
    throw creditsctl::Failure{creditsctl::usage_error,
                              "--install-prefix: \"" + settings.install_prefix + "\" is not 1 to " +
                                  std::to_string(prefix_bytes_max) +
                                  " letters, digits, and characters from -_."};
  }
  std::random_device random;
  if (settings.seed == 0) settings.seed = random();
  if (!settings.install_prefix.empty()) return;
  std::ostringstream prefix;
  prefix << "load-" << std::hex << random() << random() << '-';
  settings.install_prefix = prefix.str();
}

std::string summary_of(const Settings& settings) {
  std::ostringstream line;
  line << "creditsload --url " << settings.server.url << " --connections " << settings.connections;
  if (settings.idle_connections > 0) line << " --idle-connections " << settings.idle_connections;
  if (settings.rate > 0) line << " --rate " << settings.rate;
  line << " --duration " << settings.duration_seconds << "s --warm-up " << settings.warm_up_seconds
       << "s --installs " << settings.installs;
  if (settings.zipf_exponent > 0) line << " --zipf " << settings.zipf_exponent;
  line << " --mix " << in_words(settings.mix) << " --tiers " << in_words(settings.tiers);
  if (settings.mix.contains("batch")) line << " --batch-operations " << settings.batch_operations;
  if (settings.uses_keys) line << " --idempotency-keys";
  if (settings.verifies) line << " --verify";
  line << " --seed " << settings.seed;
  return line.str();
}

}  // namespace credits::creditsload
