#include "http/codec/quota.hpp"

#include <algorithm>
#include <array>
#include <cstdint>

#include "actors/base/text.hpp"
#include "http/codec/json.hpp"
#include "http/codec/names.hpp"
#include "http/codec/problem.hpp"

namespace credits::http::codec {

namespace {

constexpr std::int64_t limit_max = std::int64_t{1} << 53;  // beyond, JSON readers round

struct FieldNames {
  const char* limit;
  const char* gemini_cap;
};

constexpr FieldNames lifetime_names{"lifetime", "geminiCapLifetime"};
constexpr FieldNames monthly_names{"monthly", "geminiCapMonthly"};

const FieldNames& names_of(ledger::Counter counter) {
  return counter == ledger::Counter::lifetime ? lifetime_names : monthly_names;
}

[[noreturn]] void refuse(const std::string& tier, const std::string& field,
                         const std::string& what) {
  throw QuotaError{"tier \"" + base::printable(tier) + "\": " + field + " " + what,
                   tier + "." + field, false};
}

[[noreturn]] void refuse_tier(const std::string& tier, const std::string& what) {
  throw QuotaError{"tier \"" + base::printable(tier) + "\" " + what, tier, false};
}

std::int64_t credits_of(const std::string& tier, const std::string& field, const Json& value) {
  if (!value.IsInt64() || value.GetInt64() < 0 || value.GetInt64() > limit_max) {
    refuse(tier, field, "must be an integer from 0 to " + std::to_string(limit_max));
  }
  return value.GetInt64();
}

std::optional<std::int64_t> credits_or_null(const std::string& tier, const std::string& field,
                                            const Json& value) {
  if (value.IsNull()) return std::nullopt;
  return credits_of(tier, field, value);
}

void check_fields(const std::string& tier, const Json& fields, const FieldNames& names) {
  for (const auto& member : fields.GetObject()) {
    const std::string_view name = text_of(member.name);
    if (name == names.limit || name == names.gemini_cap) continue;
    refuse(tier, base::printable(name),
           std::string{"is not a field of a tier with "} + names.limit);
  }
  const std::string_view repeated = repeated_member(fields);
  if (!repeated.empty()) refuse(tier, std::string{repeated}, "is given twice");
}

ledger::TierQuota decode_tier(const std::string& tier, const Json& fields) {
  if (!fields.IsObject()) {
    refuse_tier(tier, "must be an object, not " + std::string{type_name(fields)});
  }
  const bool lifetime = fields.HasMember(lifetime_names.limit);
  if (lifetime && fields.HasMember(monthly_names.limit)) {
    refuse_tier(tier, "has both lifetime and monthly; a tier has one of them");
  }
  if (!lifetime && !fields.HasMember(monthly_names.limit)) {
    refuse_tier(tier, "has neither lifetime nor monthly");
  }
  ledger::TierQuota quota;
  quota.counter = lifetime ? ledger::Counter::lifetime : ledger::Counter::monthly;
  const FieldNames& names = names_of(quota.counter);
  check_fields(tier, fields, names);
  quota.limit = lifetime ? credits_of(tier, names.limit, fields[names.limit])
                         : credits_or_null(tier, names.limit, fields[names.limit]);
  const auto cap = fields.FindMember(names.gemini_cap);
  if (cap != fields.MemberEnd()) {
    quota.gemini_cap = credits_or_null(tier, names.gemini_cap, cap->value);
  }
  return quota;
}

std::string tier_name_of(const Json& name) {
  const std::string_view text = text_of(name);
  const bool has_control =
      std::any_of(text.begin(), text.end(), [](char c) { return c >= 0 && c < ' '; });
  if (text.empty() || has_control || fault_of_tier(text)) {
    throw QuotaError{"a tier's name must have 1 to " + std::to_string(tier_bytes_max) +
                         " bytes and no control characters; \"" + base::printable(text) +
                         "\" is invalid",
                     base::printable(text), false};
  }
  return std::string{text};
}

rapidjson::Document parse(std::string_view text) {
  try {
    return parse_json(text);
  } catch (const JsonNumberError& error) {
    throw QuotaError{error.what(), std::nullopt, false};
  } catch (const JsonError& error) {
    throw QuotaError{error.what(), std::nullopt, true};
  }
}

void write(Writer& out, const char* name, std::optional<std::int64_t> credits) {
  out.Key(name);
  credits ? out.Int64(*credits) : out.Null();
}

}  // namespace

ledger::Quota decode_quota(std::string_view text) {
  const rapidjson::Document document = parse(text);
  if (!document.IsObject()) {
    throw QuotaError{"the quota must be an object, not " + std::string{type_name(document)},
                     std::nullopt, false};
  }
  ledger::Quota quota;
  for (const auto& member : document.GetObject()) {
    const std::string tier = tier_name_of(member.name);
    if (!quota.emplace(tier, decode_tier(tier, member.value)).second) {
      refuse_tier(tier, "is given twice");
    }
  }
  if (!quota.contains(ledger::fallback_tier)) {
    refuse_tier(std::string{ledger::fallback_tier}, "is required and missing");
  }
  return quota;
}

std::string encode(const ledger::Quota& quota) {
  return to_json([&](Writer& out) {
    out.StartObject();
    for (const auto& [tier, limits] : quota) {
      out.Key(tier.data(), static_cast<rapidjson::SizeType>(tier.size()));
      out.StartObject();
      write(out, names_of(limits.counter).limit, limits.limit);
      write(out, names_of(limits.counter).gemini_cap, limits.gemini_cap);
      out.EndObject();
    }
    out.EndObject();
  });
}

ledger::Quota default_quota() {
  using ledger::Counter;
  return {{"core", {Counter::lifetime, 100, 50}},
          {"pro", {Counter::monthly, 1000, 500}},
          {"max", {Counter::monthly, std::nullopt, std::nullopt}}};
}

}  // namespace credits::http::codec
