#include "tools/creditsd/log.hpp"

#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/systemd_sink.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include "http/codec/json_string.hpp"
#include "tools/creditsd/line_queue.hpp"
#include "tools/creditsd/standard_error.hpp"
#include "tools/creditsd/throttle.hpp"

namespace credits::creditsd {

namespace {

constexpr std::size_t lines_max = 1'000;
constexpr std::size_t warnings_a_second_max = lines_max / 2;  // with different texts
constexpr std::chrono::seconds flush_max{1};

bool is_json = false;
bool is_for_people = true;  // at the terminal that started it
spdlog::level::level_enum level_min = spdlog::level::info;
// Both outlive all threads.
LineQueue* queue = nullptr;  // until set_up_log()
Throttle& throttle = *new Throttle{warnings_a_second_max};

spdlog::sink_ptr sink_of(const std::string& format) {
  if (format != "journal") return std::make_shared<StandardErrorSink>();
  const char* const socket = "/run/systemd/journal/socket";
  if (!std::filesystem::exists(socket)) {
    throw std::runtime_error{"--log-format journal: this system has no journal (" +
                             std::string{socket} + " is missing); use text or json"};
  }
  return std::make_shared<spdlog::sinks::systemd_sink_mt>("creditsd");
}

// Readers take the log line by line, so a text must not contain line breaks.
std::string on_one_line(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return std::iscntrl(c) != 0; }, ' ');
  return text;
}

std::string text_of(std::string_view event, const std::string& text) {
  if (!is_json) return std::string{event} + ": " + on_one_line(text);
  return "\"event\":" + http::codec::json_string(event) +
         ",\"message\":" + http::codec::json_string(text);
}

void write(spdlog::level::level_enum level, std::string_view event, const std::string& text) {
  if (queue == nullptr || level < level_min) return;
  queue->add({spdlog::log_clock::now(), level, text_of(event, text)});
}

// Writes the queue's lines, on the queue's thread.
class LineWriter {
 public:
  explicit LineWriter(std::shared_ptr<spdlog::logger> logger)
      : logger_{std::move(logger)}, has_failed_{std::make_shared<bool>(false)} {
    logger_->set_error_handler([failed = has_failed_](const std::string&) { *failed = true; });
  }

  // Writes `line`, after a line about dropped ones if any. Returns whether all was written.
  bool operator()(const Line& line, std::uint64_t dropped) const {
    if (dropped > 0) {
      const Line missing{line.at, spdlog::level::warn,
                         text_of("log_lines_dropped",
                                 std::to_string(dropped) +
                                     " lines are missing before this one: the log was not read in "
                                     "time, or could not be written")};
      if (!write(missing)) return false;
    }
    return write(line);
  }

 private:
  bool write(const Line& line) const {
    if (!line.level) return write_to_standard_error(line.text);
    logger_->log(line.at, spdlog::source_loc{}, *line.level, line.text);
    return !std::exchange(*has_failed_, false);
  }

  std::shared_ptr<spdlog::logger> logger_;
  std::shared_ptr<bool> has_failed_;  // whether the last write has failed
};

void write(const std::vector<Throttle::Held>& held) {
  for (const auto& [name, text] : held) log_warning(name, text);
}

}  // namespace

void set_up_log(const std::string& level, const std::string& format) {
  auto logger = std::make_shared<spdlog::logger>("creditsd", sink_of(format));
  is_json = format == "json";
  is_for_people = format == "text";
  level_min = spdlog::level::from_str(level);
  logger->set_level(spdlog::level::trace);
  logger->set_pattern(is_json ? R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%v})"
                              : "%Y-%m-%dT%H:%M:%S.%eZ %l %v",
                      spdlog::pattern_time_type::utc);
  logger->flush_on(spdlog::level::trace);
  queue = new LineQueue{lines_max, LineWriter{std::move(logger)}};
}

void log_debug(std::string_view event, const std::string& text) {
  write(spdlog::level::debug, event, text);
}

void log_info(std::string_view event, const std::string& text) {
  write(spdlog::level::info, event, text);
}

void log_warning(std::string_view event, const std::string& text) {
  write(spdlog::level::warn, event, text);
}

void log_error(std::string_view event, const std::string& text) {
  write(spdlog::level::err, event, text);
}

void log_start_error(const std::string& text) {
  const std::string line = "creditsd: " + text + "\n";
  if (queue == nullptr) {
    write_to_standard_error(line);
  } else if (is_for_people) {
    queue->add({spdlog::log_clock::now(), std::nullopt, line});
  } else {
    log_error("start_failed", text);
  }
}

void log(const actors::Event& event) {
  if (event.severity == actors::Severity::warning) {
    if (throttle.passes(event.name, event.text, std::chrono::steady_clock::now())) {
      log_warning(event.name, event.text);
    }
    return;
  }
  // Warnings held back came before this event, which may announce their end.
  write(throttle.take_all());
  const bool is_info = event.severity == actors::Severity::info;
  write(is_info ? spdlog::level::info : spdlog::level::err, event.name, event.text);
}

void log_what_was_held_back() { write(throttle.take_due(std::chrono::steady_clock::now())); }

bool flush_log() {
  if (queue == nullptr) return true;
  write(throttle.take_all());
  return queue->flush(flush_max);
}

void flush_log_and_exit(int status) {
  flush_log();
  std::_Exit(status);
}

std::uint64_t log_lines_dropped() { return queue == nullptr ? 0 : queue->dropped(); }

}  // namespace credits::creditsd
