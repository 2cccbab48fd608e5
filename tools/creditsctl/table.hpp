// Prints text for people in columns.
#pragma once

#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

namespace credits::creditsctl {

// Prints rows in batches, so that a long list need not fit in memory. A column is as wide as its
// widest cell so far.
class Table {
 public:
  // A column whose name begins with `>` has figures, aligned to the right.
  explicit Table(const std::vector<std::string>& columns);

  void add(std::vector<std::string> cells);

  // Prints the rows added since the last call; the first call prints the column names above them.
  void print(std::ostream& out);

 private:
  struct Column {
    std::size_t width = 0;
    bool is_right = false;
  };

  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// Makes `text` safe to print: each invalid UTF-8 byte and each control character becomes a question
// mark.
std::string harmless(std::string_view text);

}  // namespace credits::creditsctl
