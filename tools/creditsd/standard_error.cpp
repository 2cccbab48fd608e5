#include "tools/creditsd/standard_error.hpp"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

namespace credits::creditsd {

namespace {

constexpr int until_there_is_room = -1;

}  // namespace

bool write_to_standard_error(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
    if (written >= 0) {
      text.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno == EAGAIN) {
      pollfd room{STDERR_FILENO, POLLOUT, 0};
      ::poll(&room, 1, until_there_is_room);
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

void StandardErrorSink::sink_it_(const spdlog::details::log_msg& message) {
  spdlog::memory_buf_t line;
  formatter_->format(message, line);
  if (!write_to_standard_error({line.data(), line.size()})) {
    spdlog::throw_spdlog_ex("cannot write to standard error", errno);
  }
}

}  // namespace credits::creditsd
