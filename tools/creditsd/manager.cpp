#include "tools/creditsd/manager.hpp"

#include <systemd/sd-daemon.h>

#include <optional>
#include <utility>

#include "tools/creditsd/line_queue.hpp"

namespace credits::creditsd {

namespace {

constexpr std::size_t states_max = 10;

}  // namespace

void notify_manager(std::string state) {
  static auto* const queue = new LineQueue{states_max, [](const Line& line, std::uint64_t) {
                                             return ::sd_notify(0, line.text.c_str()) >= 0;
                                           }};
  queue->add({spdlog::log_clock::now(), std::nullopt, std::move(state)});
}

void ask_manager_for_time(const std::string& status) {
  notify_manager("EXTEND_TIMEOUT_USEC=60000000\nSTATUS=" + status);
}

}  // namespace credits::creditsd
