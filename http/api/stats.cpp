#include "http/api/stats.hpp"

#include <algorithm>
#include <iterator>
#include <numeric>
#include <vector>

#include "actors/ledger/rules.hpp"
#include "http/codec/fields.hpp"

namespace credits::http::codec {

namespace {

using actors::Counts;
using actors::Figures;
using actors::SteadyTime;

void write_store(Writer& out, const ApiContext& context, SteadyTime now) {
  const Figures& figures = context.environment.figures;
  field(out, "engine", context.facts.engine);
  field(out, "installs", figures.installs.load());
  field(out, "conflicts_total", figures.conflicts.load());
  field(out, "write_failures_total", figures.write_failures.load());
  field(out, "checkpoint_failures_total", figures.checkpoint_failures.load());
  field(out, "busy_installs_total", figures.busy_installs.load());
  field(out, "damaged_installs_total", figures.damaged_installs.load());
  field(out, "went_back_total", figures.went_back.load());
  field(out, "trouble", actors::store_trouble(context.environment, now));
  field(out, "snapshot_lag_ms", figures.snapshots_behind.age(now).count());
  field(out, "snapshot_pending_rows", figures.snapshot_pending_rows.load());
}

void write_actors(Writer& out, const Figures& figures, SteadyTime now) {
  field(out, "live", figures.live_actors());
  field(out, "spawned_total", figures.spawned.load());
  field(out, "passivated_total", figures.passivated.load());
  field(out, "mailbox_max", figures.deepest_mailbox(now));
  array_field(out, "hottest", figures.hottest.list(), [&](const actors::HotInstall& hot) {
    object(out, [&] {
      field(out, "install_id", hot.install_id);
      field(out, "messages_handled", hot.messages_handled);
    });
  });
}

void write_requests(Writer& out, const HttpFigures& figures, SteadyTime now) {
  for (const Route& route : routes) {
    if (route.operation.empty()) continue;
    const CallFigures& of_call = figures.by_call[static_cast<std::size_t>(route.call)];
    object_field(out, route.operation, [&] {
      const Counts recent = of_call.latency_us.recent(now);
      field(out, "count", of_call.count());
      field(out, "errors", of_call.errors());
      field(out, "p50_us", recent.quantile(0.5));
      field(out, "p99_us", recent.quantile(0.99));
      field(out, "p999_us", recent.quantile(0.999));
    });
  }
}

void write_persister(Writer& out, const Figures& figures, SteadyTime now) {
  const Counts rows = figures.batch_rows.ever();
  const Counts sync_us = figures.sync_us.recent(now);
  const std::uint64_t batches = rows.total();
  field(out, "batches", batches);
  field(out, "rows", rows.sum);
  field(out, "rows_per_batch_mean",
        batches == 0 ? 0.0 : static_cast<double>(rows.sum) / static_cast<double>(batches));
  field(out, "rows_per_batch_p99", figures.batch_rows.recent(now).quantile(0.99));
  field(out, "queue_depth", figures.pending_mutations.load());
  field(out, "sync_p50_us", sync_us.quantile(0.5));
  field(out, "sync_p99_us", sync_us.quantile(0.99));
  field(out, "oldest_pending_ms", figures.oldest_pending.age(now).count());
}

void write_http(Writer& out, const HttpFigures& figures) {
  field(out, "connections", figures.server.connections.load());
  field(out, "in_flight", std::uint64_t{figures.in_flight.get()});
  field(out, "shed_total", figures.server.shed.load());
}

std::vector<ledger::Reservation> live(const std::vector<ledger::Reservation>& reservations,
                                      ledger::Time now) {
  std::vector<ledger::Reservation> live;
  std::copy_if(reservations.begin(), reservations.end(), std::back_inserter(live),
               [now](const auto& reservation) { return !ledger::is_due(reservation, now); });
  return live;
}

std::int64_t held(const std::vector<ledger::Reservation>& reservations) {
  return std::accumulate(
      reservations.begin(), reservations.end(), std::int64_t{0},
      [](std::int64_t sum, const auto& reservation) { return sum + reservation.credits; });
}

void write(Writer& out, const ledger::Reservation& reservation) {
  object(out, [&] {
    field(out, "reservation_id", reservation.id);
    field(out, "tier", reservation.tier);
    field(out, "backend", reservation.backend);
    field(out, "credits", reservation.credits);
    field(out, "month", reservation.month);
    field(out, "counter", reservation.counter);
    field(out, "expires_at", reservation.expires_at);
  });
}

}  // namespace

std::string encode_stats(const ApiContext& context, SteadyTime now) {
  const Figures& figures = context.environment.figures;
  const std::chrono::duration<double> uptime = now - context.facts.up_since;
  return to_json([&](Writer& out) {
    object(out, [&] {
      field(out, "started_at", context.facts.started_at);
      field(out, "uptime_seconds", uptime.count());
      field(out, "version", context.facts.version);
      object_field(out, "store", [&] { write_store(out, context, now); });
      object_field(out, "actors", [&] { write_actors(out, figures, now); });
      object_field(out, "requests", [&] { write_requests(out, context.figures, now); });
      object_field(out, "persister", [&] { write_persister(out, figures, now); });
      object_field(out, "http", [&] { write_http(out, context.figures); });
      object_field(out, "log",
                   [&] { field(out, "lines_dropped_total", figures.log_lines_dropped.load()); });
    });
  });
}

std::string encode(const ledger::Row& row, const actors::InstallStats* stats, ledger::Time now) {
  const auto reservations = live(row.reservations, now);
  return to_json([&](Writer& out) {
    object(out, [&] {
      field(out, "install_id", row.install_id);
      field(out, "live", stats != nullptr);
      field(out, "version", row.version);
      field(out, "mailbox_depth", stats ? stats->waiting() : 0);
      field(out, "pending_writes", stats ? stats->pending_writes() : 0);
      field(out, "held", held(reservations));
      field(out, "messages_handled", stats ? stats->handled.load() : 0);
      field(out, "spawned_at", stats ? std::optional{stats->spawned_at} : std::nullopt);
      field(out, "last_message_at",
            stats ? std::optional{stats->last_message_at.load()} : std::nullopt);
      array_field(out, "reservations", reservations,
                  [&](const ledger::Reservation& reservation) { write(out, reservation); });
    });
  });
}

}  // namespace credits::http::codec
