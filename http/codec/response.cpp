#include "http/codec/response.hpp"

#include <string_view>

#include "http/codec/fields.hpp"

namespace credits::http::codec {

namespace {

void balance_field(Writer& out, const ledger::Balance& balance) {
  out.Key("balance");
  out.StartObject();
  field(out, "remaining", balance.remaining);
  field(out, "capped", balance.capped);
  field(out, "gemini_remaining", balance.gemini_remaining);
  field(out, "held", balance.held);
  out.EndObject();
}

void row_fields(Writer& out, const ledger::Row& row) {
  field(out, "install_id", row.install_id);
  field(out, "tier_snapshot", row.tier_snapshot);
  field(out, "lifetime_consumed", row.lifetime_consumed);
  field(out, "lifetime_gemini_consumed", row.lifetime_gemini_consumed);
  field(out, "month", row.month);
  field(out, "monthly_consumed", row.monthly_consumed);
  field(out, "monthly_gemini_consumed", row.monthly_gemini_consumed);
  field(out, "last_active_at", row.last_active_at);
}

void write(Writer& out, const actors::InstallView& install) {
  out.StartObject();
  row_fields(out, install.row);
  field(out, "version", install.row.version);
  balance_field(out, install.balance);
  out.EndObject();
}

void write(Writer& out, const ledger::Entry& entry) {
  out.StartObject();
  field(out, "version", entry.version);
  field(out, "at", entry.at);
  field(out, "kind", entry.kind);
  field(out, "tier", entry.tier);
  field(out, "backend", entry.backend);
  field(out, "credits", entry.credits);
  field(out, "counter", entry.backend ? std::optional{entry.counter} : std::nullopt);
  field(out, "month", entry.month);
  field(out, "idempotency_key", entry.idempotency_key);
  field(out, "reservation_id", entry.reservation_id);
  out.EndObject();
}

}  // namespace

std::string encode(const actors::InstallView& install) {
  return to_json([&](Writer& out) { write(out, install); });
}

std::string encode(const actors::PlanView& plan) {
  return to_json([&](Writer& out) {
    out.StartObject();
    field(out, "allowed", plan.plan.backend.has_value());
    field(out, "backend", plan.plan.backend);
    field(out, "reason", plan.plan.denial);
    balance_field(out, plan.balance);
    out.EndObject();
  });
}

std::string encode(const actors::ReservationView& view) {
  const ledger::Reservation& reservation = view.reservation;
  return to_json([&](Writer& out) {
    out.StartObject();
    field(out, "reservation_id", reservation.id);
    field(out, "backend", reservation.backend);
    field(out, "tier", reservation.tier);
    field(out, "credits", reservation.credits);
    field(out, "expires_at", reservation.expires_at);
    balance_field(out, view.balance);
    out.EndObject();
  });
}

std::string encode(const Problem& problem) {
  return to_json([&](Writer& out) {
    out.StartObject();
    field(out, "type", "urn:recap-credits:problem:" + std::string{problem.code()});
    field(out, "title", problem.title());
    field(out, "status", std::int64_t{problem.status()});
    field(out, "detail", problem.detail);
    field(out, "code", problem.code());
    if (problem.status() == 402) field(out, "reason", problem.code());
    if (problem.field) field(out, "field", *problem.field);
    out.EndObject();
  });
}

std::string encode_results(const std::vector<Result>& results) {
  constexpr std::string_view begin = R"({"results":[)";
  constexpr std::string_view end = "]}";
  constexpr std::size_t beside_body_max = 40;  // a result's status and punctuation
  std::size_t size_max = begin.size() + end.size();
  for (const Result& result : results) size_max += result.body.size() + beside_body_max;

  std::string text;
  text.reserve(size_max);
  text += begin;
  for (const Result& result : results) {
    if (text.back() == '}') text += ',';
    text.append(result.body, 0, result.body.size() - 1);
    if (!result.problem) text += ",\"status\":" + std::to_string(result.status);
    if (result.replayed) text += ",\"replayed\":true";
    text += '}';
  }
  text += end;
  return text;
}

std::string encode(const InstallPage& page) {
  return to_json([&](Writer& out) {
    out.StartObject();
    array_field(out, "installs", page.installs,
                [&](const actors::InstallView& install) { write(out, install); });
    field(out, "next_after", page.next_after);
    out.EndObject();
  });
}

std::string encode(const EntryPage& page) {
  return to_json([&](Writer& out) {
    out.StartObject();
    array_field(out, "entries", page.entries,
                [&](const ledger::Entry& entry) { write(out, entry); });
    field(out, "next_before", page.next_before);
    out.EndObject();
  });
}

std::string encode_ledger_member(const ledger::Row& row) {
  const auto id = to_json([&](Writer& out) { write(out, row.install_id); });
  return id + ":" + to_json([&](Writer& out) {
           out.StartObject();
           row_fields(out, row);
           out.EndObject();
         });
}

}  // namespace credits::http::codec
