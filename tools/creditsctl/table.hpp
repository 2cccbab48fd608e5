// Text for people, in columns.
#pragma once

#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

namespace credits::creditsctl {

// Rows are printed in batches, so that a long list need not be in memory as a whole: a column is as
// wide as it had to be up to then.
class Table {
 public:
  // A column whose name begins with `>` is of figures, and stands to the right.
  explicit Table(const std::vector<std::string>& columns);

  void add(std::vector<std::string> cells);

  // The rows since the last time, the first time with the columns' names above them.
  void print(std::ostream& out);

 private:
  struct Column {
    std::size_t width = 0;
    bool is_right = false;
  };

  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// In UTF-8, whatever `text` is: what is not, and what a terminal would take for a command, becomes
// a question mark.
std::string harmless(std::string_view text);

}  // namespace credits::creditsctl
