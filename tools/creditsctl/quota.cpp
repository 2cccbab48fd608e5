// creditsctl quota get and set.
#include <cstdint>
#include <iostream>
#include <memory>
#include <string_view>

#include "actors/base/text.hpp"
#include "tools/creditsctl/client.hpp"
#include "tools/creditsctl/commands.hpp"
#include "tools/creditsctl/failure.hpp"
#include "tools/creditsctl/fresh_file.hpp"
#include "tools/creditsctl/json.hpp"
#include "tools/creditsctl/source.hpp"
#include "tools/creditsctl/table.hpp"

namespace credits::creditsctl {

namespace {

constexpr const char* target = "/v1/quota";
constexpr std::uint64_t quota_bytes_max = std::uint64_t{8} << 20U;  // the server's limit for a body

std::string cap_in_words(const Json& tier, const char* name, const char* none) {
  const auto found = tier.FindMember(name);
  return found == tier.MemberEnd() || found->value.IsNull() ? none : in_words(found->value);
}

void print(const Options& options, const std::string& quota) {
  const auto tiers = parse_object(quota);
  if (options.json) {
    std::cout << quota << '\n';
    return;
  }
  Table table{{"TIER", "COUNTER", ">CREDITS", ">GEMINI CAP"}};
  for (const auto& [name, tier] : tiers.GetObject()) {
    if (!tier.IsObject()) throw Failure{failed, "the server's answer is not a quota"};
    const bool is_lifetime = tier.HasMember("lifetime");
    table.add({{name.GetString(), name.GetStringLength()},
               is_lifetime ? "lifetime" : "monthly",
               cap_in_words(tier, is_lifetime ? "lifetime" : "monthly", "unlimited"),
               cap_in_words(tier, is_lifetime ? "geminiCapLifetime" : "geminiCapMonthly", "none")});
  }
  table.print(std::cout);
}

void get(const Options& options, const std::string& file) {
  const std::string quota = Client{options}.get(target);
  parse_object(quota);  // an invalid answer must not replace a file
  if (file.empty()) return print(options, quota);
  if (file == "-") {
    std::cout << quota << '\n';
    return;
  }
  FreshFile fresh{file};
  fresh.write(quota + "\n");
  fresh.put_in_place();
}

void set(const Options& options, const std::string& file) {
  Source source{file, quota_bytes_max};
  std::string quota;
  for (std::string_view piece = source.read(); !piece.empty(); piece = source.read())
    quota += piece;
  if (const auto fault = base::fault_of_text(quota)) {
    throw Failure{failed, file + ": " + *fault};
  }
  print(options, Client{options}.put(target, quota));
}

}  // namespace

void add_quota(CLI::App& app, const Options& options) {
  CLI::App* quota = app.add_subcommand("quota", "Show or replace the quota");
  quota->require_subcommand(1);
  const auto file = std::make_shared<std::string>();
  CLI::App* get_command =
      quota->add_subcommand("get", "Show the quota in force, or write it to a file");
  get_command->add_option("FILE", *file, "The file to write, as JSON; - is standard output")
      ->type_name("");
  get_command->footer("Examples:\n  $ creditsctl quota get\n  $ creditsctl quota get quota.json");
  get_command->callback([&options, file] { get(options, *file); });
  CLI::App* set_command =
      quota->add_subcommand("set", "Replace the quota, immediately and permanently");
  set_command->add_option("FILE", *file, "The new quota, as JSON; - is standard input")
      ->required()
      ->type_name("");
  set_command->footer("Example:\n  $ creditsctl quota set quota.json");
  set_command->callback([&options, file] { set(options, *file); });
}

}  // namespace credits::creditsctl
