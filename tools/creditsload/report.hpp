// A load's report: for people, for programs, and as one page with plots that needs no server.
#pragma once

#include <iosfwd>
#include <string>

#include "tools/creditsload/load.hpp"

namespace credits::creditsload {

void print(const Settings& settings, const Outcome& outcome, std::ostream& out);

std::string as_json(const Settings& settings, const Outcome& outcome);

std::string as_page(const Settings& settings, const Outcome& outcome);

}  // namespace credits::creditsload
