// creditsd's log: one line an event, on standard error, for people or as JSON for programs; or the
// systemd journal, which keeps time and severity itself.
#pragma once

#include <string>
#include <string_view>

#include "actors/environment.hpp"

namespace credits::creditsd {

// `level`: debug, info, warn or error. `format`: text, json or journal. Throws std::runtime_error
// if there is no journal.
void set_up_log(const std::string& level, const std::string& format);

// What happened (`stopped`: stable, for programs), and how for people. Any thread.
void log_debug(std::string_view event, const std::string& text);
void log_info(std::string_view event, const std::string& text);
void log_warning(std::string_view event, const std::string& text);
void log_error(std::string_view event, const std::string& text);

void log(const actors::Event& event);

// Why the program cannot start, as the last thing that it says.
void log_start_error(const std::string& text);

}  // namespace credits::creditsd
