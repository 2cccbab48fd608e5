// Formats options for --help and the man pages generated from it: `--listen HOST:PORT`, then its
// purpose, range and default, within 80 columns.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <regex>
#include <sstream>
#include <string>
#include <utility>

namespace credits {

class HelpFormatter : public CLI::Formatter {
 public:
  HelpFormatter() { column_width(indent); }

  std::string make_option_name(const CLI::Option* option, bool is_positional) const override {
    static const std::regex value_of_flag{R"(\{\w+\})"};
    static const std::regex comma{","};
    const std::string name = CLI::Formatter::make_option_name(option, is_positional);
    return std::regex_replace(std::regex_replace(name, value_of_flag, ""), comma, ", ");
  }

  std::string make_option_opts(const CLI::Option* option) const override {
    if (option->get_type_size() == 0) return "";
    const std::string name = value_of(*option).first;
    return name.empty() ? "" : " " + name;
  }

  std::string make_option_desc(const CLI::Option* option) const override {
    std::string text = option->get_description();
    if (option->get_type_size() != 0) {
      const std::string range = value_of(*option).second;
      if (!range.empty()) text += " [" + range + "]";
      if (!option->get_default_str().empty()) {
        text += " [default: " + option->get_default_str() + "]";
      }
    }
    if (!option->get_envname().empty()) text += " [" + option->get_envname() + "]";
    return wrapped(text);
  }

 private:
  static constexpr std::size_t indent = 30;
  static constexpr std::size_t width = 80;

  // Returns the placeholder for the option's value, and its range. CLI11 has both in one text,
  // after the type: `UINT:INT in [1 - 1000]`.
  static std::pair<std::string, std::string> value_of(const CLI::Option& option) {
    static const std::regex type{R"(^(TEXT|INT|UINT|FLOAT|FILE)( \[\w+\])?:)"};
    static const std::regex range{R"(^(?:(\w+):)?(?:INT|FLOAT) in \[(\S+) - (\S+)\]$)"};
    const std::string whole = option.get_type_name();
    const std::string name = std::regex_replace(whole, type, "");
    if (!option.get_positional()) {
      if (whole.find("[DURATION]") != std::string::npos) return {"DURATION", ""};
      std::smatch limits;
      if (std::regex_match(name, limits, range)) {
        return {limits[1].matched ? limits[1].str() : "N",
                limits[2].str() + " to " + limits[3].str()};
      }
      if (name == "UINT") return {"N", ""};
      if (name == "TEXT") return {"NAME", ""};
    }
    return {name, ""};
  }

  static std::string wrapped(const std::string& text) {
    std::istringstream words{text};
    std::string lines;
    std::size_t column = 0;
    for (std::string word; words >> word; column += word.size() + 1) {
      if (column > 0 && indent + column + word.size() > width) {
        lines += '\n';
        column = 0;
      } else if (column > 0) {
        lines += ' ';
      }
      lines += word;
    }
    return lines;
  }
};

}  // namespace credits
