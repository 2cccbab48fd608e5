#include "http/codec/response.hpp"

#include <string_view>

#include "http/codec/json.hpp"

namespace credits::http::codec {

namespace {

std::string_view name_of(ledger::Backend backend) {
  return backend == ledger::Backend::gemini ? "gemini" : "hardware";
}

std::string_view name_of(ledger::Counter counter) {
  return counter == ledger::Counter::lifetime ? "lifetime" : "monthly";
}

std::string_view name_of(ledger::Denial denial) {
  return denial == ledger::Denial::out_of_credits ? "out_of_credits"
                                                  : "gemini_cap_exceeded_no_hardware";
}

std::string_view name_of(ledger::EntryKind kind) {
  switch (kind) {
    case ledger::EntryKind::create:
      return "create";
    case ledger::EntryKind::import:
      return "import";
    case ledger::EntryKind::commit:
      return "commit";
    case ledger::EntryKind::reserve:
      return "reserve";
    case ledger::EntryKind::settle:
      return "settle";
    case ledger::EntryKind::release:
      return "release";
    case ledger::EntryKind::expire:
      return "expire";
  }
  return "unknown";
}

void write(Writer& out, std::int64_t number) { out.Int64(number); }
void write(Writer& out, std::uint64_t number) { out.Uint64(number); }
void write(Writer& out, bool value) { out.Bool(value); }
void write(Writer& out, ledger::Time time) { codec::write(out, ledger::format(time)); }
void write(Writer& out, ledger::Month month) { codec::write(out, ledger::format(month)); }
void write(Writer& out, const std::string& text) { codec::write(out, text); }

template <class Named>
requires std::is_enum_v<Named>
void write(Writer& out, Named value) { codec::write(out, name_of(value)); }

template <class Value>
void write(Writer& out, const std::optional<Value>& value) {
  value ? write(out, *value) : static_cast<void>(out.Null());
}

void write(Writer& out, const actors::InstallView& install);
void write(Writer& out, const ledger::Entry& entry);

template <class Value>
void write(Writer& out, const std::vector<Value>& values) {
  out.StartArray();
  for (const Value& value : values) write(out, value);
  out.EndArray();
}

template <class Value>
void field(Writer& out, std::string_view name, const Value& value) {
  out.Key(name.data(), static_cast<rapidjson::SizeType>(name.size()));
  write(out, value);
}

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
    field(out, "type", "urn:recap-credits:problem:" + problem.code);
    field(out, "title", problem.title);
    field(out, "status", std::int64_t{problem.status});
    field(out, "detail", problem.detail);
    field(out, "code", problem.code);
    if (problem.reason) field(out, "reason", *problem.reason);
    if (problem.field) field(out, "field", *problem.field);
    out.EndObject();
  });
}

std::string encode_results(const std::vector<Result>& results) {
  std::string text = R"({"results":[)";
  for (const Result& result : results) {
    if (text.back() == '}') text += ',';
    text.append(result.body, 0, result.body.size() - 1);
    if (!result.is_problem) text += ",\"status\":" + std::to_string(result.status);
    if (result.replayed) text += ",\"replayed\":true";
    text += '}';
  }
  return text + "]}";
}

std::string encode(const InstallPage& page) {
  return to_json([&](Writer& out) {
    out.StartObject();
    field(out, "installs", page.installs);
    field(out, "next_after", page.next_after);
    out.EndObject();
  });
}

std::string encode(const EntryPage& page) {
  return to_json([&](Writer& out) {
    out.StartObject();
    field(out, "entries", page.entries);
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
