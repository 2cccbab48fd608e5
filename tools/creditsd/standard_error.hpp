// Writes the text log to standard error and reports failures. spdlog's own sink ignores failed
// writes and full non-blocking pipes.
#pragma once

#include <spdlog/details/null_mutex.h>
#include <spdlog/sinks/base_sink.h>

#include <string_view>

namespace credits::creditsd {

// Writes all of `text`, however long that takes. Returns whether it succeeded.
bool write_to_standard_error(std::string_view text);

// For a single thread. Throws spdlog_ex if a line cannot be written.
class StandardErrorSink : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
 protected:
  void sink_it_(const spdlog::details::log_msg& message) override;
  void flush_() override {}
};

}  // namespace credits::creditsd
