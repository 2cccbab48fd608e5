// Bodies of requests: from JSON to operations. Throws ProblemError for what is no JSON, has an
// unknown field, or a value of the wrong type or out of range; the problem names the field.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "actors/operation.hpp"
#include "http/codec/problem.hpp"

namespace credits::http::codec {

enum class Op : std::uint8_t { get, create, plan, commit, reserve, settle, release };

// Whether an idempotency key does something for the operation: the others are idempotent anyway.
bool takes_key(Op op);

// What a call says outside its body. Valid already, but for the reservation's id.
struct Address {
  std::string install_id;
  std::string reservation_id{};  // of settle and release; one that is none is an unknown one
  std::optional<std::string> idempotency_key{};
};

// Drops a key that the operation does not take.
actors::Operation decode_operation(Op op, Address address, std::string_view body);

inline constexpr std::size_t batch_operations_max = 8'192;

// The operations of a batch, or what is wrong with each. Throws if the batch itself is faulty.
std::vector<std::variant<actors::Operation, Problem>> decode_batch(std::string_view body);

}  // namespace credits::http::codec
