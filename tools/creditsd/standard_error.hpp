// Where the log goes as a text: standard error, with what becomes of each line. spdlog's own sink
// passes over a write that fails, and over a pipe that is full and does not block.
#pragma once

#include <spdlog/details/null_mutex.h>
#include <spdlog/sinks/base_sink.h>

#include <string_view>

namespace credits::creditsd {

// Writes all of it, however long that takes. Whether it could.
bool write_to_standard_error(std::string_view text);

// For one thread. Throws spdlog_ex if a line could not be written.
class StandardErrorSink : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
 protected:
  void sink_it_(const spdlog::details::log_msg& message) override;
  void flush_() override {}
};

}  // namespace credits::creditsd
