// creditsctl quota get and set.
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>

#include "tools/creditsctl/client.hpp"
#include "tools/creditsctl/commands.hpp"
#include "tools/creditsctl/failure.hpp"
#include "tools/creditsctl/fresh_file.hpp"
#include "tools/creditsctl/json.hpp"
#include "tools/creditsctl/table.hpp"

namespace credits::creditsctl {

namespace {

constexpr const char* target = "/v1/quota";

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
    if (!tier.IsObject()) throw Failure{failed, "the server's answer is no quota"};
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
  parse_object(quota);  // what is none must not take a file's place
  if (file.empty()) return print(options, quota);
  if (file == "-") {
    std::cout << quota << '\n';
    return;
  }
  FreshFile fresh{file};
  fresh.write(quota + "\n");
  fresh.put_in_place();
}

std::string read_all(std::istream& in) { return {std::istreambuf_iterator<char>{in}, {}}; }

std::string content_of(const std::string& file) {
  if (file == "-") return read_all(std::cin);
  std::ifstream in{file, std::ios::binary};
  if (!in || std::filesystem::is_directory(file)) {
    throw Failure{failed, file + ": it cannot be read"};
  }
  return read_all(in);
}

void set(const Options& options, const std::string& file) {
  print(options, Client{options}.put(target, content_of(file)));
}

}  // namespace

void add_quota(CLI::App& app, const Options& options) {
  CLI::App* quota = app.add_subcommand("quota", "Show or replace the quota");
  quota->require_subcommand(1);
  const auto file = std::make_shared<std::string>();
  CLI::App* get_command =
      quota->add_subcommand("get", "Show the quota in force, or write it to a file");
  get_command->add_option("FILE", *file, "Where to, as JSON; - is standard output")->type_name("");
  get_command->footer("Examples:\n  $ creditsctl quota get\n  $ creditsctl quota get quota.json");
  get_command->callback([&options, file] { get(options, *file); });
  CLI::App* set_command = quota->add_subcommand("set", "Replace the quota, at once and for good");
  set_command->add_option("FILE", *file, "The new quota, as JSON; - is standard input")
      ->required()
      ->type_name("");
  set_command->footer("Example:\n  $ creditsctl quota set quota.json");
  set_command->callback([&options, file] { set(options, *file); });
}

}  // namespace credits::creditsctl
