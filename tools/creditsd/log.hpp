// creditsd's log: one line an event, on standard error, for people or as JSON for programs; or the
// systemd journal, which keeps time and severity itself. A reader that stands still holds up
// nobody: lines that it does not take in time are dropped, and counted, as are those that cannot be
// written.
#pragma once

#include <cstdint>
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

// Of warnings of one name and text a line a second at most: what is held back is counted. Beyond
// 500 different ones a second, those of one name share a line.
void log(const actors::Event& event);
// To be called once a second, or more often: tells what was held back.
void log_what_was_held_back();

// Why the program cannot start, as the last thing that it says; in plain words as long as there is
// no log.
void log_start_error(const std::string& text);

// Writes what has not been written yet. Waits a second at most for a reader that stands still;
// whether all is written.
bool flush_log();

// Ends the process at once, once the log is flushed.
[[noreturn]] void flush_log_and_exit(int status);

// Lines that nobody took in time, or that could not be written, since the program was started.
std::uint64_t log_lines_dropped();

}  // namespace credits::creditsd
