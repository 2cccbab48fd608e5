#include "http/api/metrics.hpp"

#include <prometheus/text_serializer.h>

#include <utility>
#include <vector>

#include "http/codec/names.hpp"

namespace credits::http {

namespace {

using actors::Counts;
using actors::Measured;
using prometheus::ClientMetric;
using prometheus::MetricType;

using Labels = std::vector<ClientMetric::Label>;

constexpr unsigned shortest_us_bits = 6;  // 64 µs
constexpr unsigned longest_us_bits = 24;  // 17 s
constexpr unsigned rows_bits_max = 13;
constexpr double microsecond = 1e-6;

class Metrics {
 public:
  void gauge(std::string name, std::string help, double value, Labels labels = {}) {
    begin(std::move(name), std::move(help), MetricType::Gauge);
    add(std::move(labels)).gauge.value = value;
  }

  void counter(std::string name, std::string help, std::uint64_t value) {
    begin(std::move(name), std::move(help), MetricType::Counter);
    count({}, value);
  }

  // Begins a family; the following calls of add() and count() belong to it.
  void begin(std::string name, std::string help, MetricType type) {
    families_.push_back({std::move(name), std::move(help), type, {}});
  }

  ClientMetric& add(Labels labels) {
    ClientMetric& metric = families_.back().metric.emplace_back();
    metric.label = std::move(labels);
    return metric;
  }

  void count(Labels labels, std::uint64_t value) {
    add(std::move(labels)).counter.value = static_cast<double>(value);
  }

  // For whole numbers: buckets of at most 1, 3, 7, …, 2^bits_max - 1.
  void histogram_of_numbers(Labels labels, const Counts& counts) {
    histogram(std::move(labels), counts, 1, rows_bits_max, 1, 1);
  }

  // For microseconds, which were rounded down: a time below 64 µs was recorded as 63 at most.
  void histogram_of_times(Labels labels, const Counts& counts) {
    histogram(std::move(labels), counts, shortest_us_bits, longest_us_bits, 0, microsecond);
  }

  std::string text() const { return prometheus::TextSerializer{}.Serialize(families_); }

 private:
  // The bounds are powers of two, where the figures' histograms are exact, minus `less`, times
  // `unit`.
  void histogram(Labels labels, const Counts& counts, unsigned from_bits, unsigned to_bits,
                 std::uint64_t less, double unit) {
    ClientMetric::Histogram& histogram = add(std::move(labels)).histogram;
    for (unsigned bits = from_bits; bits <= to_bits; ++bits) {
      const std::uint64_t bound = std::uint64_t{1} << bits;
      histogram.bucket.push_back({counts.below(bound), static_cast<double>(bound - less) * unit});
    }
    histogram.sample_count = counts.total();
    histogram.sample_sum = static_cast<double>(counts.sum) * unit;
  }

  std::vector<prometheus::MetricFamily> families_;
};

double seconds(std::chrono::milliseconds time) {
  return std::chrono::duration<double>{time}.count();
}

void add_actors(Metrics& metrics, const actors::Figures& figures, actors::SteadyTime now) {
  metrics.gauge("credits_actors_live", "Install actors in memory.",
                static_cast<double>(figures.live_actors()));
  metrics.counter("credits_actors_spawned_total", "Install actors that were spawned.",
                  figures.spawned);
  metrics.counter("credits_actors_passivated_total", "Install actors that were retired.",
                  figures.passivated);
  metrics.gauge("credits_live_reservations", "Reservations of the installs in memory.",
                static_cast<double>(figures.reservations));
  metrics.gauge("credits_held_credits", "Credits that these reservations hold.",
                static_cast<double>(figures.credits_held));
  metrics.gauge("credits_mailbox_depth_max",
                "Most requests that waited for one install in the last minute.",
                static_cast<double>(figures.deepest_mailbox(now)));
}

void add_requests(Metrics& metrics, const HttpFigures& figures) {
  const auto each_call = [&](const auto& visit) {
    for (const Route& route : routes) {
      if (route.operation.empty()) continue;
      visit(std::string{route.operation}, figures.by_call[static_cast<std::size_t>(route.call)]);
    }
  };
  metrics.begin("credits_requests_total", "Requests answered, by operation and class of status.",
                MetricType::Counter);
  each_call([&](const std::string& operation, const CallFigures& of_call) {
    for (const std::size_t digit : {2U, 4U, 5U}) {
      metrics.count({{"operation", operation}, {"status", std::to_string(digit) + "xx"}},
                    of_call.by_status_class[digit]);
    }
  });
  metrics.begin("credits_request_duration_seconds",
                "Time from a complete request to its answer, by operation.", MetricType::Histogram);
  each_call([&](const std::string& operation, const CallFigures& of_call) {
    metrics.histogram_of_times({{"operation", operation}}, of_call.latency_us.ever());
  });
  metrics.begin("credits_problems_total",
                "Problems in answers to requests and to operations of batches, by code.",
                MetricType::Counter);
  for (const auto& [code, count] : figures.problems.by_code()) {
    metrics.count({{"code", std::string{code}}}, count);
  }
}

void add_entries(Metrics& metrics, const actors::EntryFigures& figures) {
  const actors::StoredEntries stored = figures.get();
  const auto each_debit = [&](const auto& number_of) {
    for (const actors::DebitsOfTier& debits : stored.debits) {
      metrics.count(
          {{"tier", debits.tier}, {"backend", std::string{codec::name_of(debits.backend)}}},
          number_of(debits));
    }
  };
  metrics.begin("credits_commits_total", "Durable commits, by tier and backend.",
                MetricType::Counter);
  each_debit([](const auto& debits) { return debits.commits; });
  metrics.begin("credits_debited_credits_total",
                "Credits debited by commits and settles, by tier and backend.",
                MetricType::Counter);
  each_debit([](const auto& debits) { return debits.credits; });
  metrics.begin("credits_entries_total", "Durable entries of the audit trail, by kind.",
                MetricType::Counter);
  for (std::size_t kind = 0; kind < stored.by_kind.size(); ++kind) {
    metrics.count({{"kind", std::string{codec::name_of(static_cast<ledger::EntryKind>(kind))}}},
                  stored.by_kind[kind]);
  }
}

void add_trouble(Metrics& metrics, const actors::Figures& figures) {
  metrics.counter("credits_checkpoint_failures_total",
                  "Failed attempts to bring the snapshots up to the journal.",
                  figures.checkpoint_failures);
  metrics.counter("credits_busy_installs_total",
                  "Times that an install was not written because another transaction held its row.",
                  figures.busy_installs);
  metrics.counter("credits_damaged_installs_total",
                  "Times that the record of an install was found damaged.",
                  figures.damaged_installs);
  metrics.counter("credits_database_went_back_total",
                  "Times that the database lacked writes that it had confirmed.",
                  figures.went_back);
  metrics.counter(
      "credits_log_lines_dropped_total",
      "Log lines dropped because nobody read the log in time or it could not be written.",
      figures.log_lines_dropped);
}

double clock_behind_seconds(const actors::Environment& environment) {
  return std::chrono::duration<double>{environment.figures.newest_time.ahead_of(environment.now())}
      .count();
}

void add_store(Metrics& metrics, const ApiContext& context, actors::SteadyTime now) {
  const actors::Figures& figures = context.environment.figures;
  metrics.gauge("credits_store_info", "The engine of the store.", 1,
                {{"engine", context.facts.engine}});
  metrics.gauge("credits_store_up", "Whether the store takes writes.",
                actors::store_trouble(context.environment, now) ? 0 : 1);
  metrics.gauge("credits_clock_behind_seconds",
                "How far the clock is behind the newest time seen in the ledger.",
                clock_behind_seconds(context.environment));
  metrics.gauge("credits_installs", "Installs in the ledger.",
                static_cast<double>(figures.installs));
  metrics.begin("credits_batch_rows", "Mutations in one durable write.", MetricType::Histogram);
  metrics.histogram_of_numbers({}, figures.batch_rows.ever());
  metrics.begin("credits_sync_duration_seconds", "Time of one durable write.",
                MetricType::Histogram);
  metrics.histogram_of_times({}, figures.sync_us.ever());
  metrics.gauge("credits_pending_mutations", "Mutations that are not durable yet.",
                static_cast<double>(figures.pending_mutations));
  metrics.gauge("credits_oldest_pending_seconds",
                "Age of the oldest mutation that is not durable yet.",
                seconds(figures.oldest_pending.age(now)));
  metrics.gauge("credits_snapshot_lag_seconds",
                "How long the snapshots have been behind the journal.",
                seconds(figures.snapshots_behind.age(now)));
  metrics.gauge("credits_snapshot_pending_rows",
                "Rows and names that the journal has and the snapshots lack.",
                static_cast<double>(figures.snapshot_pending_rows));
  metrics.counter("credits_store_conflicts_total",
                  "Writes that found an install changed by another writer.", figures.conflicts);
  metrics.counter("credits_write_failures_total", "Durable writes that failed.",
                  figures.write_failures);
  add_trouble(metrics, figures);
}

void add_http(Metrics& metrics, const HttpFigures& figures) {
  metrics.gauge("credits_http_connections", "Open connections.",
                static_cast<double>(figures.server.connections));
  metrics.gauge("credits_http_requests_in_flight",
                "Requests in flight, including those that nobody waits for any more.",
                static_cast<double>(figures.in_flight.get()));
  metrics.counter("credits_shed_total", "Connections and requests answered with 503 overloaded.",
                  figures.server.shed);
}

}  // namespace

std::string metrics_text(const ApiContext& context, actors::SteadyTime now) {
  const std::chrono::duration<double> uptime = now - context.facts.up_since;
  const actors::Figures& figures = context.environment.figures;
  Metrics metrics;
  metrics.gauge("credits_build_info", "The version of creditsd.", 1,
                {{"version", context.facts.version}});
  metrics.gauge("credits_uptime_seconds", "Time since the start.", uptime.count());
  add_requests(metrics, context.figures);
  add_entries(metrics, figures.entries);
  add_actors(metrics, figures, now);
  add_store(metrics, context, now);
  add_http(metrics, context.figures);
  return metrics.text();
}

}  // namespace credits::http
