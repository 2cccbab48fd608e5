// creditsd's log: one line per event, on standard error, for people or as JSON for programs; or the
// systemd journal, which keeps time and severity itself. A reader that stalls blocks nothing: the
// log drops and counts lines that are not read in time or cannot be written.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "actors/environment.hpp"

namespace credits::creditsd {

// `level`: debug, info, warn or error. `format`: text, json or journal. Throws std::runtime_error
// if there is no journal.
void set_up_log(const std::string& level, const std::string& format);

// `event` is a stable name for programs, like `stopped`; `text` is for people. Thread-safe.
void log_debug(std::string_view event, const std::string& text);
void log_info(std::string_view event, const std::string& text);
void log_warning(std::string_view event, const std::string& text);
void log_error(std::string_view event, const std::string& text);

// Logs warnings with the same name and text at most once a second, and counts the rest. Beyond 500
// different ones a second, warnings with the same name share a line.
void log(const actors::Event& event);
// Logs the warnings held back. Call at least once a second.
void log_what_was_held_back();

// Logs why the program cannot start, as its last line; in plain text before set_up_log().
void log_start_error(const std::string& text);

// Writes all pending lines. Waits at most a second for a stalled reader. Returns whether all lines
// are written.
bool flush_log();

// Flushes the log and ends the process at once.
[[noreturn]] void flush_log_and_exit(int status);

// Number of lines since the program started that were not read in time or could not be written.
std::uint64_t log_lines_dropped();

}  // namespace credits::creditsd
