#include "http/codec/ledger_file.hpp"

#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_set>
#include <utility>

#include "actors/base/text.hpp"
#include "actors/ledger/quota.hpp"
#include "http/codec/identifiers.hpp"
#include "http/codec/json.hpp"
#include "http/codec/names.hpp"
#include "http/codec/problem.hpp"

namespace credits::http::codec {

namespace {

using ledger::counter_max;

// 3.0 is a whole number; nullopt if the value is not whole, or beyond any counter.
std::optional<std::int64_t> whole_number(const Json& value) {
  if (value.IsInt64()) return value.GetInt64();
  const double number = value.GetDouble();
  const bool is_whole =
      std::fabs(number) <= static_cast<double>(counter_max) && number == std::floor(number);
  return is_whole ? std::optional{static_cast<std::int64_t>(number)} : std::nullopt;
}

// Reads one member of `rows`.
class RowReader {
 public:
  RowReader(const Json& id, const Json& fields, ledger::Time now)
      : id_{text_of(id)}, fields_{fields}, now_{now} {}

  ledger::Row read() const {
    if (const auto fault = fault_of_install_id(id_)) refuse("", *fault);
    if (!fields_.IsObject()) refuse("", "must be an object, not " + type_of(fields_));
    const std::string_view repeated = repeated_member(fields_);
    if (!repeated.empty()) refuse(repeated, "is given twice");
    check_install_id();
    ledger::Row row;
    row.install_id = id_;
    row.tier_snapshot = tier();
    row.lifetime_consumed = counter("lifetime_consumed");
    row.lifetime_gemini_consumed = counter("lifetime_gemini_consumed");
    row.month = month();
    row.monthly_consumed = counter("monthly_consumed");
    row.monthly_gemini_consumed = counter("monthly_gemini_consumed");
    row.last_active_at = last_active_at();
    // The old module treated a row without a month as one of another month.
    if (!find("month")) row.monthly_consumed = row.monthly_gemini_consumed = 0;
    return row;
  }

 private:
  static std::string type_of(const Json& value) { return std::string{type_name(value)}; }

  [[noreturn]] void refuse(std::string_view field, const std::string& what) const {
    throw LedgerFileError{"install \"" + base::printable(id_) + "\"" +
                          (field.empty() ? "" : ", field " + base::printable(field)) + ": " + what +
                          "."};
  }

  // Null means missing.
  const Json* find(const char* field) const {
    const auto member = fields_.FindMember(field);
    return member == fields_.MemberEnd() || member->value.IsNull() ? nullptr : &member->value;
  }

  std::optional<std::string_view> string(const char* field) const {
    const Json* value = find(field);
    if (!value) return std::nullopt;
    if (!value->IsString()) refuse(field, "must be a string, not " + type_of(*value));
    return text_of(*value);
  }

  void check_install_id() const {
    const auto named = string("install_id");
    if (named && *named != id_) {
      refuse("install_id", "is \"" + base::printable(*named) + "\", another install's");
    }
  }

  std::string tier() const {
    const auto tier = string("tier_snapshot");
    if (!tier) return std::string{ledger::fallback_tier};
    if (const auto fault = fault_of_tier(*tier)) refuse("tier_snapshot", *fault);
    return std::string{*tier};
  }

  std::int64_t counter(const char* field) const {
    const Json* value = find(field);
    if (!value) return 0;
    if (!value->IsNumber()) refuse(field, "must be a number, not " + type_of(*value));
    const auto number = whole_number(*value);
    if (!number || *number < 0 || *number > counter_max) {
      refuse(field, "must be a whole number from 0 to " + std::to_string(counter_max));
    }
    return *number;
  }

  ledger::Month month() const {
    const auto text = string("month");
    if (!text) return ledger::month_of(now_);
    const auto month = ledger::parse_month(*text);
    if (!month) refuse("month", "\"" + base::printable(*text) + "\" is not a month like 2026-11");
    return *month;
  }

  ledger::Time last_active_at() const {
    const auto text = string("last_active_at");
    if (!text) return ledger::Time{};
    const auto time = ledger::parse_time(*text);
    if (!time) {
      refuse("last_active_at",
             "\"" + base::printable(*text) + "\" is not a time like 2026-11-24T03:53:00.000Z");
    }
    return *time;
  }

  std::string id_;
  const Json& fields_;
  ledger::Time now_;
};

rapidjson::Document parse(std::string_view text) {
  try {
    return parse_json(text);
  } catch (const JsonError& error) {
    throw LedgerSyntaxError{error.what()};
  }
}

}  // namespace

std::optional<std::vector<ledger::Row>> decode_ledger_file(std::string_view text,
                                                           ledger::Time now) {
  const rapidjson::Document document = parse(text);
  if (!document.IsObject()) {
    throw LedgerFileError{"the file must be an object, not " + std::string{type_name(document)} +
                          "."};
  }
  const std::string_view repeated = repeated_member(document);
  if (!repeated.empty()) {
    throw LedgerFileError{"field " + base::printable(repeated) + ": is given twice."};
  }
  const auto rows = document.FindMember("rows");
  if (rows == document.MemberEnd() || rows->value.IsNull()) return std::nullopt;
  if (!rows->value.IsObject()) {
    throw LedgerFileError{"field rows: must be an object, not " +
                          std::string{type_name(rows->value)} + "."};
  }
  std::vector<ledger::Row> result;
  result.reserve(rows->value.MemberCount());
  std::unordered_set<std::string> seen;
  for (const auto& member : rows->value.GetObject()) {
    result.push_back(RowReader{member.name, member.value, now}.read());
    if (!seen.insert(result.back().install_id).second) {
      throw LedgerFileError{"install \"" + result.back().install_id + "\" is given twice."};
    }
  }
  return result;
}

}  // namespace credits::http::codec
