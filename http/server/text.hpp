// Splits and compares the words of HTTP headers, and of files with a similar syntax.
#pragma once

#include <string_view>
#include <vector>

namespace credits::http {

bool equal_without_case(std::string_view a, std::string_view b);

// Without the spaces, tabs and line ends around it.
std::string_view trimmed(std::string_view text);

std::vector<std::string_view> split(std::string_view text, char separator);

// Whether the comma-separated `list` contains `token`, in any case.
bool lists(std::string_view list, std::string_view token);

}  // namespace credits::http
