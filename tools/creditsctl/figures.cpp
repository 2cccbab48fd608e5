// creditsctl stats and top: the server's live figures.
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <ctime>
#include <iomanip>
#include <iostream>
#include <map>
#include <sstream>

#include "tools/creditsctl/client.hpp"
#include "tools/creditsctl/commands.hpp"
#include "tools/creditsctl/json.hpp"
#include "tools/creditsctl/table.hpp"

namespace credits::creditsctl {

namespace {

constexpr const char* stats_target = "/v1/stats";

// Adds rows like `store.engine`; `requests` and `hottest` have their own tables.
void add_figures(Table& table, const std::string& prefix, const Json& object) {
  for (const auto& [name, value] : object.GetObject()) {
    const std::string path = prefix + name.GetString();
    if (path == "requests" || value.IsArray()) continue;
    if (value.IsObject()) {
      add_figures(table, path + ".", value);
    } else {
      table.add({path, in_words(value)});
    }
  }
}

void print_requests(const Json& requests) {
  Table table{{"OPERATION", ">COUNT", ">ERRORS", ">P50_US", ">P99_US", ">P999_US"}};
  for (const auto& [name, value] : requests.GetObject()) {
    table.add({name.GetString(), in_words(member(value, "count")),
               in_words(member(value, "errors")), in_words(member(value, "p50_us")),
               in_words(member(value, "p99_us")), in_words(member(value, "p999_us"))});
  }
  table.print(std::cout);
}

void print_hottest(const Json& hottest) {
  Table table{{"HOTTEST INSTALL", ">MESSAGES"}};
  for (const Json& install : hottest.GetArray()) {
    table.add({text(install, "install_id"), in_words(member(install, "messages_handled"))});
  }
  table.print(std::cout);
}

void stats(const Options& options) {
  const std::string answer = Client{options}.get(stats_target);
  const auto figures = parse_object(answer);
  if (options.json) {
    std::cout << answer << '\n';
    return;
  }
  Table table{{"FIGURE", "VALUE"}};
  add_figures(table, "", figures);
  table.print(std::cout);
  std::cout << '\n';
  print_requests(object(figures, "requests"));
  std::cout << '\n';
  print_hottest(array(member(figures, "actors"), "hottest"));
}

struct Install {
  std::string id;
  double messages_per_second = 0;
  double messages = 0;
};

struct Operation {
  std::string name;
  double per_second = 0;
  double errors_per_second = 0;
  const Json* figures = nullptr;
};

// The activity between two answers of the server.
struct Frame {
  double seconds = 0;
  double writes_per_second = 0;
  double rows_per_second = 0;
  std::vector<Operation> operations;
  std::vector<Install> installs;  // hottest first
};

// Compares the counters of two successive answers; a restart resets the earlier ones to 0.
class Difference {
 public:
  Difference(const Json& before, const Json& now) : before_{before}, now_{now} {
    const double up_before = number(before, "uptime_seconds");
    const double up_now = number(now, "uptime_seconds");
    is_new_start_ = text(before, "started_at") != text(now, "started_at");
    seconds_ = std::max(0.001, is_new_start_ ? up_now : up_now - up_before);
  }

  Frame frame() const {
    Frame frame;
    frame.seconds = seconds_;
    frame.writes_per_second = per_second(count("persister", "batches"));
    frame.rows_per_second = per_second(count("persister", "rows"));
    frame.operations = operations();
    frame.installs = installs();
    return frame;
  }

 private:
  double per_second(double difference) const { return std::max(0.0, difference) / seconds_; }

  double count(const char* section, const char* name) const {
    return difference(object(before_, section), object(now_, section), name);
  }

  double difference(const Json& before, const Json& now, const char* name) const {
    return number(now, name) - (is_new_start_ ? 0 : number(before, name));
  }

  std::vector<Operation> operations() const {
    std::vector<Operation> operations;
    const Json& before = object(before_, "requests");
    for (const auto& [name, now] : object(now_, "requests").GetObject()) {
      if (number(now, "count") == 0) continue;
      const Json& earlier = member(before, name.GetString());
      operations.push_back({name.GetString(), per_second(difference(earlier, now, "count")),
                            per_second(difference(earlier, now, "errors")), &now});
    }
    return operations;
  }

  std::vector<Install> installs() const {
    std::map<std::string, double> messages_before;
    for (const Json& install : array(member(before_, "actors"), "hottest").GetArray()) {
      messages_before[text(install, "install_id")] = number(install, "messages_handled");
    }
    std::vector<Install> installs;
    for (const Json& install : array(member(now_, "actors"), "hottest").GetArray()) {
      const std::string id = text(install, "install_id");
      const double messages = number(install, "messages_handled");
      const auto found = messages_before.find(id);
      // An install that was not among the hottest before, or was retired meanwhile, has no rate
      // yet.
      const bool is_known = !is_new_start_ && found != messages_before.end();
      installs.push_back({id, is_known ? per_second(messages - found->second) : 0, messages});
    }
    std::stable_sort(installs.begin(), installs.end(), [](const Install& a, const Install& b) {
      return a.messages_per_second > b.messages_per_second;
    });
    return installs;
  }

  const Json& before_;
  const Json& now_;
  bool is_new_start_ = false;
  double seconds_ = 0;
};

std::string with_one_digit(double value) {
  std::ostringstream out;
  out << std::fixed << std::setprecision(1) << value;
  return out.str();
}

std::string figure(const Json& stats, const char* section, const char* name) {
  return in_words(member(member(stats, section), name));
}

void print_head(std::ostream& out, const Json& stats, const Frame& frame) {
  const std::string trouble = figure(stats, "store", "trouble");
  out << "creditsd " << harmless(text(stats, "version")) << ", up "
      << static_cast<std::uint64_t>(number(stats, "uptime_seconds")) << " s, "
      << harmless(figure(stats, "store", "engine")) << ", " << figure(stats, "store", "installs")
      << " installs, " << figure(stats, "actors", "live") << " live\n"
      << "writes/s " << with_one_digit(frame.writes_per_second) << "   rows/s "
      << with_one_digit(frame.rows_per_second) << "   queue "
      << figure(stats, "persister", "queue_depth") << "   sync p99 "
      << figure(stats, "persister", "sync_p99_us") << " us   mailbox max "
      << figure(stats, "actors", "mailbox_max") << '\n'
      << "connections " << figure(stats, "http", "connections") << "   in flight "
      << figure(stats, "http", "in_flight") << "   shed " << figure(stats, "http", "shed_total")
      << '\n';
  if (trouble != "-") out << "the store rejects writes: " << harmless(trouble) << '\n';
}

std::string in_tables(const Json& stats, const Frame& frame) {
  std::ostringstream out;
  print_head(out, stats, frame);
  Table operations{{"OPERATION", ">PER SECOND", ">ERRORS/S", ">P50_US", ">P99_US", ">P999_US"}};
  for (const Operation& operation : frame.operations) {
    operations.add({operation.name, with_one_digit(operation.per_second),
                    with_one_digit(operation.errors_per_second),
                    in_words(member(*operation.figures, "p50_us")),
                    in_words(member(*operation.figures, "p99_us")),
                    in_words(member(*operation.figures, "p999_us"))});
  }
  out << '\n';
  operations.print(out);
  Table installs{{"HOTTEST INSTALL", ">MESSAGES/S", ">MESSAGES"}};
  for (const Install& install : frame.installs) {
    installs.add({install.id, with_one_digit(install.messages_per_second),
                  std::to_string(static_cast<std::uint64_t>(install.messages))});
  }
  out << '\n';
  installs.print(out);
  return out.str();
}

std::string in_json(const Json& stats, const Frame& frame) {
  return to_json([&](Writer& out) {
    out.StartObject();
    out.Key("seconds");
    out.Double(frame.seconds);
    out.Key("writes_per_second");
    out.Double(frame.writes_per_second);
    out.Key("rows_per_second");
    out.Double(frame.rows_per_second);
    out.Key("requests_per_second");
    out.StartObject();
    for (const Operation& operation : frame.operations) {
      out.Key(operation.name.c_str());
      out.Double(operation.per_second);
    }
    out.EndObject();
    out.Key("hottest");
    out.StartArray();
    for (const Install& install : frame.installs) {
      out.StartObject();
      out.Key("install_id");
      out.String(install.id.c_str());
      out.Key("messages_per_second");
      out.Double(install.messages_per_second);
      out.Key("messages_handled");
      out.Uint64(static_cast<std::uint64_t>(install.messages));
      out.EndObject();
    }
    out.EndArray();
    out.Key("stats");
    stats.Accept(out);
    out.EndObject();
  });
}

// Draws over the previous frame, cut to the terminal's size so that nothing scrolls.
void redraw(const std::string& frame) {
  winsize size{};
  const bool is_known = ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 1;
  const std::size_t rows = is_known ? size.ws_row : 24;
  const std::size_t columns = is_known ? size.ws_col : 80;
  std::istringstream lines{frame};
  std::string line;
  std::cout << "\x1b[H";
  for (std::size_t row = 1; row < rows && std::getline(lines, line); ++row) {
    std::cout << line.substr(0, columns) << "\x1b[K\n";
  }
  std::cout << "\x1b[J" << std::flush;
}

volatile std::sig_atomic_t is_stopped = 0;

// The first Ctrl-C ends the sleep and the loop, the second the program.
void stop_on_interrupt() {
  struct sigaction action {};
  action.sa_handler = [](int) { is_stopped = 1; };
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  ::sigaction(SIGINT, &action, nullptr);
}

void sleep(std::chrono::milliseconds duration) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(duration);
  const timespec time{seconds.count(), std::chrono::nanoseconds{duration - seconds}.count()};
  ::nanosleep(&time, nullptr);
}

// `1s` becomes 1000.
CLI::Validator duration_in_milliseconds() {
  const std::map<std::string, std::int64_t> milliseconds_of{{"ms", 1}, {"s", 1'000}};
  const CLI::AsNumberWithUnit to_milliseconds{milliseconds_of,
                                              CLI::AsNumberWithUnit::UNIT_REQUIRED};
  const auto convert = [to_milliseconds](std::string& duration) -> std::string {
    const std::string fault = "\"" + duration + "\" is not a duration from 10ms to 3600s, like 1s";
    try {
      const bool is_number = to_milliseconds(duration).empty();
      const bool is_in_range =
          CLI::Range(std::int64_t{10}, std::int64_t{3'600'000})(duration).empty();
      return is_number && is_in_range ? "" : fault;
    } catch (const CLI::ValidationError&) {
      return fault;
    }
  };
  return {convert, ""};
}

struct TopOptions {
  std::int64_t interval_ms = 1'000;
  std::uint64_t frames_max = 0;  // 0: until stopped
};

void top(const Options& options, const TopOptions& top) {
  const bool is_live = ::isatty(STDOUT_FILENO) == 1 && top.frames_max == 0 && !options.json;
  Client client{options};
  stop_on_interrupt();
  auto before = parse_object(client.get(stats_target));
  for (std::uint64_t frames = 0; top.frames_max == 0 || frames < top.frames_max; ++frames) {
    sleep(std::chrono::milliseconds{top.interval_ms});
    if (is_stopped != 0) return;
    auto now = parse_object(client.get(stats_target));
    const Frame frame = Difference{before, now}.frame();
    if (options.json) {
      std::cout << in_json(now, frame) << std::endl;
    } else if (is_live) {
      if (frames == 0) std::cout << "\x1b[2J";
      redraw(in_tables(now, frame));
    } else {
      std::cout << (frames == 0 ? "" : "\n") << in_tables(now, frame) << std::flush;
    }
    if (!std::cout) return;
    before.Swap(now);
  }
}

}  // namespace

void add_stats(CLI::App& app, const Options& options) {
  CLI::App* command = app.add_subcommand("stats", "Show the server's live figures");
  command->footer("Examples:\n  $ creditsctl stats\n  $ creditsctl stats --json | jq .persister");
  command->callback([&options] { stats(options); });
}

void add_top(CLI::App& app, const Options& options) {
  CLI::App* command =
      app.add_subcommand("top", "Show rates and the hottest installs continuously; Ctrl-C stops");
  const auto settings = std::make_shared<TopOptions>();
  command->add_option("--interval", settings->interval_ms, "Time between two frames")
      ->transform(duration_in_milliseconds())
      ->type_name("DURATION")
      ->default_str("1s");
  command->add_option("--count", settings->frames_max, "Print this many plain frames, then exit")
      ->check(CLI::Range(1, 1'000'000'000))
      ->type_name("N");
  command->footer("Examples:\n  $ creditsctl top\n  $ creditsctl top --interval 5s --count 12");
  command->callback([&options, settings] { top(options, *settings); });
}

}  // namespace credits::creditsctl
