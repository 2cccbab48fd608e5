#include "tools/creditsd/log.hpp"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/sinks/systemd_sink.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <utility>

#include "http/codec/json_string.hpp"

namespace credits::creditsd {

namespace {

bool is_json = false;
bool is_for_people = true;  // who started it, and sees what it says

spdlog::sink_ptr sink_of(const std::string& format) {
  if (format != "journal") return std::make_shared<spdlog::sinks::stderr_sink_mt>();
  const char* const socket = "/run/systemd/journal/socket";
  if (!std::filesystem::exists(socket)) {
    throw std::runtime_error{"--log-format journal: this system has no journal (" +
                             std::string{socket} + " is missing); use text or json"};
  }
  return std::make_shared<spdlog::sinks::systemd_sink_mt>("creditsd");
}

// A log is read line by line, so no text may begin a line of its own.
std::string on_one_line(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return std::iscntrl(c) != 0; }, ' ');
  return text;
}

void write(spdlog::level::level_enum level, std::string_view event, const std::string& text) {
  if (is_json) {
    spdlog::log(level, R"("event":{},"message":{})", http::codec::json_string(event),
                http::codec::json_string(text));
  } else {
    spdlog::log(level, "{}: {}", event, on_one_line(text));
  }
}

}  // namespace

void set_up_log(const std::string& level, const std::string& format) {
  auto logger = std::make_shared<spdlog::logger>("creditsd", sink_of(format));
  is_json = format == "json";
  is_for_people = format == "text";
  logger->set_level(spdlog::level::from_str(level));
  logger->set_pattern(is_json ? R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%v})"
                              : "%Y-%m-%dT%H:%M:%S.%eZ %l %v",
                      spdlog::pattern_time_type::utc);
  logger->flush_on(spdlog::level::debug);
  spdlog::set_default_logger(std::move(logger));
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
  if (is_for_people) {
    std::cerr << "creditsd: " << text << '\n';
  } else {
    log_error("start_failed", text);
  }
}

void log(const actors::Event& event) {
  const bool is_info = event.severity == actors::Severity::info;
  write(is_info ? spdlog::level::info : spdlog::level::warn, event.name, event.text);
}

}  // namespace credits::creditsd
