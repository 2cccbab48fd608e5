#include "http/codec/request.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <stdexcept>
#include <utility>

#include "actors/base/text.hpp"
#include "http/codec/identifiers.hpp"
#include "http/codec/json.hpp"

namespace credits::http::codec {

namespace {

constexpr std::int64_t credits_min = 1;
constexpr std::int64_t credits_max = 1'000'000;
constexpr std::int64_t ttl_seconds_min = 1;
constexpr std::int64_t ttl_seconds_max = 86'400;
constexpr std::size_t field_bytes_max = 200;  // longer names are shortened in the answer

[[noreturn]] void refuse(std::string_view name, const std::string& what) {
  const std::string shown = base::printable(name);
  const std::string field = name.size() <= field_bytes_max ? std::string{name} : shown;
  throw ProblemError{invalid_request(field, "\"" + shown + "\" " + what)};
}

using Names = std::vector<std::string_view>;

struct OpFields {
  std::string_view op;
  Names fields;
};

const OpFields& fields_of(Op op) {
  static const std::array<OpFields, 7> all{{
      {"get", {}},
      {"create", {}},
      {"plan", {"tier", "has_hardware", "credits"}},
      {"commit", {"backend", "tier", "credits"}},
      {"reserve", {"tier", "has_hardware", "credits", "ttl_seconds"}},
      {"settle", {"backend", "credits"}},
      {"release", {}},
  }};
  return all.at(static_cast<std::size_t>(op));
}

bool names_reservation(Op op) { return op == Op::settle || op == Op::release; }

// Typed access to an object's fields; refuses unknown and duplicate ones.
class Fields {
 public:
  Fields(const Json& object, const Names& known) : object_{object} {
    for (const auto& member : object_.GetObject()) {
      const std::string_view name = text_of(member.name);
      if (std::find(known.begin(), known.end(), name) == known.end()) {
        refuse(name, "is not a field of this call");
      }
    }
    const std::string_view repeated = repeated_member(object_);
    if (!repeated.empty()) refuse(repeated, "is given twice");
  }

  std::optional<std::string> string(const char* name) const {
    const Json* value = find(name);
    if (!value) return std::nullopt;
    if (!value->IsString()) refuse_type(name, "a string", *value);
    return std::string{text_of(*value)};
  }

  std::optional<bool> boolean(const char* name) const {
    const Json* value = find(name);
    if (!value) return std::nullopt;
    if (!value->IsBool()) refuse_type(name, "a boolean", *value);
    return value->GetBool();
  }

  std::optional<std::int64_t> integer(std::string_view name, std::int64_t min,
                                      std::int64_t max) const {
    const Json* value = find(name);
    if (!value) return std::nullopt;
    const auto range = [&] {
      return "an integer from " + std::to_string(min) + " to " + std::to_string(max);
    };
    if (!value->IsNumber()) refuse_type(name, range(), *value);
    if (!value->IsInt64() || value->GetInt64() < min || value->GetInt64() > max) {
      refuse(name, "must be " + range());
    }
    return value->GetInt64();
  }

  std::optional<std::int64_t> credits(std::int64_t min) const {
    return integer("credits", min, credits_max);
  }

  std::optional<ledger::Backend> backend() const {
    const auto name = string("backend");
    if (!name) return std::nullopt;
    if (*name == "gemini") return ledger::Backend::gemini;
    if (*name == "hardware") return ledger::Backend::hardware;
    refuse("backend", R"(must be "gemini" or "hardware")");
  }

  const Json* find(std::string_view name) const {
    const auto member = object_.FindMember(
        Json{rapidjson::StringRef(name.data(), static_cast<rapidjson::SizeType>(name.size()))});
    return member == object_.MemberEnd() ? nullptr : &member->value;
  }

 private:
  [[noreturn]] static void refuse_type(std::string_view name, const std::string& expected,
                                       const Json& value) {
    refuse(name, "must be " + expected + ", not " + std::string{type_name(value)});
  }

  const Json& object_;
};

// An empty body reads as an empty object.
rapidjson::Document parse_body(std::string_view body) {
  try {
    rapidjson::Document document = parse_json(body.empty() ? "{}" : body);
    if (document.IsObject()) return document;
    throw ProblemError{invalid_request(
        std::nullopt, "the body must be an object, not " + std::string{type_name(document)})};
  } catch (const JsonNumberError& error) {
    throw ProblemError{invalid_request(std::nullopt, error.what())};
  } catch (const JsonError& error) {
    throw ProblemError{invalid_json(error.what())};
  }
}

template <class Value>
Value required(std::optional<Value> value, std::string_view field) {
  if (!value) refuse(field, "is required");
  return *std::move(value);
}

std::variant<actors::Get, actors::Create, actors::Plan, actors::Commit, actors::Reserve,
             actors::Settle, actors::Release>
action_of(Op op, std::string reservation_id, const Fields& fields) {
  switch (op) {
    case Op::get:
      return actors::Get{};
    case Op::create:
      return actors::Create{};
    case Op::plan:
      return actors::Plan{fields.string("tier"), fields.boolean("has_hardware"),
                          fields.credits(credits_min).value_or(1)};
    case Op::commit:
      return actors::Commit{required(fields.backend(), "backend"),
                            required(fields.string("tier"), "tier"),
                            fields.credits(credits_min).value_or(1)};
    case Op::reserve:
      return actors::Reserve{
          fields.string("tier"), fields.boolean("has_hardware"),
          fields.credits(credits_min).value_or(1),
          std::chrono::seconds{
              fields.integer("ttl_seconds", ttl_seconds_min, ttl_seconds_max).value_or(600)}};
    case Op::settle:
      return actors::Settle{std::move(reservation_id), fields.backend(), fields.credits(0)};
    case Op::release:
      return actors::Release{std::move(reservation_id)};
  }
  throw std::logic_error{"an operation without an action"};
}

// The operation and the fields that were sent, in the order of fields_of(): equal for equal
// requests.
std::string canonical_json_of(Op op, const Fields& fields) {
  return to_json([&](Writer& out) {
    out.StartObject();
    out.Key("op");
    write(out, fields_of(op).op);
    for (const std::string_view name : fields_of(op).fields) {
      const Json* value = fields.find(name);
      if (!value) continue;
      out.Key(name.data(), static_cast<rapidjson::SizeType>(name.size()));
      value->Accept(out);
    }
    out.EndObject();
  });
}

// Called after the fields are decoded, because their faults come first.
void check_reservation_id(const actors::Operation& operation) {
  std::visit(
      [](const auto& action) {
        if constexpr (requires { action.reservation_id; }) {
          if (is_reservation_id(action.reservation_id)) return;
          throw ProblemError{unknown_reservation(action.reservation_id)};
        }
      },
      operation.action);
}

actors::Operation operation_of(Op op, Address address, const Fields& fields) {
  actors::Operation operation{std::move(address.install_id),
                              action_of(op, std::move(address.reservation_id), fields)};
  check_reservation_id(operation);
  if (takes_key(op)) operation.idempotency_key = std::move(address.idempotency_key);
  if (operation.idempotency_key || op == Op::settle)
    operation.request = canonical_json_of(op, fields);
  return operation;
}

Op to_op(const std::string& name) {
  for (int op = 0; op <= static_cast<int>(Op::release); ++op) {
    if (fields_of(static_cast<Op>(op)).op == name) return static_cast<Op>(op);
  }
  refuse("op", "must be one of get, create, plan, commit, reserve, settle, release");
}

Names fields_in_batch(Op op) {
  Names names = fields_of(op).fields;
  names.insert(names.end(), {"op", "install_id", "idempotency_key"});
  if (names_reservation(op)) names.push_back("reservation_id");
  return names;
}

std::string op_name_of(const Json& object) {
  const auto member = object.FindMember("op");
  if (member == object.MemberEnd()) refuse("op", "is required");
  if (!member->value.IsString()) {
    refuse("op", "must be a string, not " + std::string{type_name(member->value)});
  }
  return std::string{text_of(member->value)};
}

Address address_of(Op op, const Fields& fields) {
  Address address{required(fields.string("install_id"), "install_id")};
  refuse_if(fault_of_install_id(address.install_id), invalid_install_id);
  address.idempotency_key = fields.string("idempotency_key");
  if (address.idempotency_key && takes_key(op)) {
    refuse_if(fault_of_idempotency_key(*address.idempotency_key), invalid_idempotency_key);
  }
  if (names_reservation(op)) {
    address.reservation_id = required(fields.string("reservation_id"), "reservation_id");
  }
  return address;
}

actors::Operation decode_member(const Json& member) {
  if (!member.IsObject()) {
    throw ProblemError{invalid_request(
        std::nullopt, "an operation must be an object, not " + std::string{type_name(member)})};
  }
  const Op op = to_op(op_name_of(member));
  static const auto known = [] {
    std::array<Names, 7> names;
    for (std::size_t i = 0; i < names.size(); ++i) names[i] = fields_in_batch(static_cast<Op>(i));
    return names;
  }();
  const Fields fields{member, known.at(static_cast<std::size_t>(op))};
  return operation_of(op, address_of(op, fields), fields);
}

}  // namespace

bool takes_key(Op op) { return op == Op::commit || op == Op::reserve; }

actors::Operation decode_operation(Op op, Address address, std::string_view body) {
  const rapidjson::Document document = parse_body(body);
  const Fields fields{document, fields_of(op).fields};
  return operation_of(op, std::move(address), fields);
}

std::vector<std::variant<actors::Operation, Problem>> decode_batch(std::string_view body) {
  const rapidjson::Document document = parse_body(body);
  const Fields fields{document, {"operations"}};
  const Json* operations = fields.find("operations");
  if (!operations) refuse("operations", "is required");
  if (!operations->IsArray()) {
    refuse("operations", "must be an array, not " + std::string{type_name(*operations)});
  }
  if (operations->Empty() || operations->Size() > batch_operations_max) {
    refuse("operations", "must have 1 to " + std::to_string(batch_operations_max) +
                             " members, not " + std::to_string(operations->Size()));
  }
  std::vector<std::variant<actors::Operation, Problem>> decoded;
  decoded.reserve(operations->Size());
  for (const Json& member : operations->GetArray()) {
    try {
      decoded.emplace_back(decode_member(member));
    } catch (const ProblemError& error) {
      decoded.emplace_back(error.problem());
    }
  }
  return decoded;
}

}  // namespace credits::http::codec
