// Decodes request bodies from JSON to operations. Throws ProblemError if a body is not JSON, or a
// field is unknown, of the wrong type or out of range; the problem names the field.
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

// Whether the operation uses an idempotency key; the others are idempotent without one.
bool takes_key(Op op);

// The parts of a call outside its body. All but the reservation's id must be valid.
struct Address {
  std::string install_id;
  std::string reservation_id{};  // of settle and release; an invalid id counts as unknown
  std::optional<std::string> idempotency_key{};
};

// Ignores a key that the operation does not use.
actors::Operation decode_operation(Op op, Address address, std::string_view body);

inline constexpr std::size_t batch_operations_max = 8'192;

// The operations of a batch; a faulty one has its problem in its place. Throws if the batch itself
// is faulty.
std::vector<std::variant<actors::Operation, Problem>> decode_batch(std::string_view body);

}  // namespace credits::http::codec
