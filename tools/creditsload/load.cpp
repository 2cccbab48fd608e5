#include "tools/creditsload/load.hpp"

#include <unistd.h>

#include <cstdio>
#include <utility>

#include "tools/creditsctl/failure.hpp"
#include "tools/creditsctl/json.hpp"

namespace credits::creditsload {

namespace {

constexpr std::size_t faults_shown = 10;
constexpr int ok = 200;
constexpr int server_error = 500;
constexpr const char* overloaded = "overloaded";  // had no effect

bool is_done(int status) { return status / 100 == 2; }

Clock::duration to_duration(double seconds) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>{seconds});
}

std::string code_of(int status, const creditsctl::Json& problem) {
  const bool has_code = problem.IsObject() && problem.HasMember("code");
  return has_code ? creditsctl::text(problem, "code") : "HTTP " + std::to_string(status);
}

// The outcome of one operation.
struct Result {
  int status = 0;
  std::string code{};  // empty: done
};

Result result_of(const Answer& answer) {
  if (answer.status == 0) return {0, answer.failure};
  if (is_done(answer.status)) return {answer.status, ""};
  rapidjson::Document problem;
  problem.Parse<rapidjson::kParseIterativeFlag>(answer.body.data(), answer.body.size());
  return {answer.status, code_of(answer.status, problem)};
}

// One for each effect of the request, or a single one if it has none.
std::vector<Result> results_of(const Request& request, const Answer& answer) {
  const std::size_t operations = std::max<std::size_t>(1, request.effects.size());
  if (request.kind != Kind::batch || answer.status != ok) {
    return std::vector<Result>(operations, result_of(answer));
  }
  const auto body = creditsctl::parse_object(answer.body);
  std::vector<Result> results;
  for (const auto& result : creditsctl::array(body, "results").GetArray()) {
    const int status = static_cast<int>(creditsctl::number(result, "status"));
    results.push_back({status, is_done(status) ? "" : code_of(status, result)});
  }
  if (results.size() == operations) return results;
  throw creditsctl::Failure{creditsctl::failed, "a batch of " + std::to_string(operations) +
                                                    " operations was answered with " +
                                                    std::to_string(results.size()) + " results"};
}

class Load {
 public:
  explicit Load(const Settings& settings)
      : settings_{settings},
        traffic_{settings},
        expected_{settings.verifies ? settings.installs : 0},
        driver_{settings,
                [this](const Request& request, const Answer& answer, Clock::time_point intended,
                       Request& next) { return answered(request, answer, intended, next); }} {}

  Outcome run() {
    driver_.connect();
    if (settings_.verifies) read_start();
    begin_ = Clock::now() + to_duration(settings_.warm_up_seconds);
    results_.emplace(begin_, settings_.duration_seconds);
    driver_.run(
        begin_ + to_duration(settings_.duration_seconds), [this] { return traffic_.next(); },
        [this] { show_progress(); });
    end_progress();
    Outcome outcome{*std::move(results_)};
    if (settings_.verifies) outcome.verdict = compare();
    return outcome;
  }

 private:
  bool answered(const Request& request, const Answer& answer, Clock::time_point intended,
                Request& next) {
    const auto results = results_of(request, answer);
    std::vector<std::string> codes;
    for (const Result& result : results) codes.push_back(result.code);
    results_->add(request.kind, intended, Clock::now(), codes);
    if (settings_.verifies && answer.was_sent) note(request, results);
    if (request.kind != Kind::reserve || !is_done(answer.status)) return false;
    next = traffic_.settle(request, answer.body);
    return true;
  }

  void note(const Request& request, const std::vector<Result>& results) {
    for (std::size_t i = 0; i < request.effects.size(); ++i) {
      const auto& [status, code] = results[i];
      if (is_done(status)) {
        expected_.acknowledged(request.effects[i]);
      } else if (status == 0 || (status >= server_error && code != overloaded)) {
        expected_.doubtful(request.effects[i]);
      }
    }
  }

  StateReader state_reader() {
    return {traffic_, settings_.installs,
            [this](const std::string& target, const std::string& body) {
              return driver_.post(target, body);
            }};
  }

  void read_start() {
    state_reader().read(
        [this](std::size_t install, const Sum& sum) { expected_.start(install, sum); });
  }

  Verdict compare() {
    Verdict verdict{settings_.installs, expected_.doubtful_installs()};
    state_reader().read([&](std::size_t install, const Sum& sum) {
      const auto fault = expected_.fault_of(install, sum);
      if (!fault) return;
      if (++verdict.differing_installs > faults_shown) return;
      verdict.faults.push_back("install \"" + traffic_.install_id(install) + "\": " + *fault);
    });
    return verdict;
  }

  // Overwrites one line on a terminal; elsewhere prints a line every ten seconds.
  void show_progress() {
    const auto now = Clock::now();
    if (now < next_line_) return;
    next_line_ = now + (is_terminal_ ? std::chrono::seconds{1} : std::chrono::seconds{10});
    const double at = std::chrono::duration<double>{now - begin_}.count();
    const Slice total = results_->total();
    const auto& latencies = total.latencies;
    if (at < 0) {
      std::fprintf(stderr, "%swarming up, %.0f s left%s", line_start(), -at, line_end());
    } else {
      std::fprintf(stderr, "%s%3.0f of %.0f s: %.0f/s, p50 %.2f ms, p99 %.2f ms, %llu errors%s",
                   line_start(), at, settings_.duration_seconds,
                   static_cast<double>(total.operations) / std::max(at, 0.001),
                   static_cast<double>(latencies.quantile_us(0.5)) / 1'000,
                   static_cast<double>(latencies.quantile_us(0.99)) / 1'000,
                   static_cast<unsigned long long>(total.errors), line_end());
    }
    has_shown_ = true;
  }

  void end_progress() const {
    if (is_terminal_ && has_shown_) std::fprintf(stderr, "\r\x1b[K");
  }

  const char* line_start() const { return is_terminal_ ? "\r\x1b[K" : ""; }
  const char* line_end() const { return is_terminal_ ? "" : "\n"; }

  const Settings& settings_;
  Traffic traffic_;
  Expected expected_;
  std::optional<Results> results_;
  Driver driver_;
  Clock::time_point begin_{};
  const bool is_terminal_ = ::isatty(STDERR_FILENO) == 1;
  Clock::time_point next_line_{};
  bool has_shown_ = false;
};

}  // namespace

Outcome run_load(const Settings& settings) { return Load{settings}.run(); }

}  // namespace credits::creditsload
