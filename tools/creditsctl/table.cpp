#include "tools/creditsctl/table.hpp"

#include <algorithm>
#include <ostream>
#include <utility>

#include "tools/creditsctl/json.hpp"

namespace credits::creditsctl {

namespace {

constexpr const char* gap = "  ";

// Whether it begins with a control character: ASCII, or U+0080 to U+009F (0xc2 and another byte).
bool is_control(std::string_view text) {
  const auto byte = [text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  return byte(0) < 0x20 || byte(0) == 0x7f || (byte(0) == 0xc2 && byte(1) < 0xa0);
}

// Counts UTF-8 characters.
std::size_t width_of(const std::string& cell) {
  return static_cast<std::size_t>(std::count_if(cell.begin(), cell.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0U) != 0x80U;
  }));
}

}  // namespace

Table::Table(const std::vector<std::string>& columns) {
  std::vector<std::string> names;
  for (const std::string& column : columns) {
    const bool is_right = column.starts_with('>');
    columns_.push_back({0, is_right});
    names.push_back(column.substr(is_right ? 1 : 0));
  }
  add(std::move(names));
}

void Table::add(std::vector<std::string> cells) {
  for (std::size_t i = 0; i < cells.size(); ++i) {
    cells[i] = harmless(cells[i]);
    columns_[i].width = std::max(columns_[i].width, width_of(cells[i]));
  }
  rows_.push_back(std::move(cells));
}

void Table::print(std::ostream& out) {
  for (const auto& row : std::exchange(rows_, {})) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string padding(columns_[i].width - width_of(row[i]), ' ');
      if (i > 0) line += gap;
      line += columns_[i].is_right ? padding + row[i] : row[i] + padding;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out << line << '\n';
  }
}

std::string harmless(std::string_view text) {
  std::string shown;
  while (!text.empty()) {
    rapidjson::MemoryStream in{text.data(), text.size()};
    rapidjson::StringBuffer character;
    const bool is_valid = rapidjson::UTF8<>::Validate(in, character);
    const std::size_t size = is_valid ? in.Tell() : 1;
    is_valid && !is_control(text) ? shown.append(text, 0, size) : shown.append(1, '?');
    text.remove_prefix(size);
  }
  return shown;
}

}  // namespace credits::creditsctl
