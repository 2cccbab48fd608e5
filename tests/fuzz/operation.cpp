// An accepted body has only valid values, whichever call it is sent to.
#include <variant>

#include "http/codec/identifiers.hpp"
#include "http/codec/request.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace {

using namespace credits;
using http::codec::Op;
using tests::expect;

void check_credits(std::int64_t credits, std::int64_t least = 1) {
  expect(credits >= least && credits <= 1'000'000, "credits are within their limits");
}

void check_reservation(const std::string& reservation_id) {
  expect(http::is_reservation_id(reservation_id), "the reservation id is valid");
}

struct Checker {
  void operator()(const actors::Get&) const {}
  void operator()(const actors::Create&) const {}
  void operator()(const actors::Plan& plan) const { check_credits(plan.credits); }
  void operator()(const actors::Commit& commit) const { check_credits(commit.credits); }
  void operator()(const actors::Reserve& reserve) const {
    check_credits(reserve.credits);
    expect(reserve.ttl.count() >= 1 && reserve.ttl.count() <= 86'400, "a ttl is within its limits");
  }
  void operator()(const actors::Settle& settle) const {
    check_reservation(settle.reservation_id);
    if (settle.credits) check_credits(*settle.credits, 0);
  }
  void operator()(const actors::Release& release) const {
    check_reservation(release.reservation_id);
  }
};

void check(const actors::Operation& operation) {
  expect(!http::fault_of_install_id(operation.install_id), "the install can be named");
  if (operation.idempotency_key) {
    expect(!http::fault_of_idempotency_key(*operation.idempotency_key), "the key is valid");
    expect(!operation.request.empty(),
           "an operation with a key can be compared with its repetition");
  }
  std::visit(Checker{}, operation.action);
}

void check(const http::Problem& problem) {
  expect(problem.status() >= 400 && problem.status() < 500, "a problem is the client's");
  expect(!problem.code().empty() && !problem.detail.empty(), "a problem says what is wrong");
}

template <class Decode>
void try_to(const Decode& decode) {
  try {
    decode();
  } catch (const http::ProblemError& error) {
    check(error.problem());
  }
}

}  // namespace

void credits::tests::try_bytes(std::string_view bytes) {
  for (const Op op :
       {Op::get, Op::create, Op::plan, Op::commit, Op::reserve, Op::settle, Op::release}) {
    try_to([&] {
      check(http::codec::decode_operation(op, {"install", std::string(32, 'a'), "key"}, bytes));
    });
  }
  try_to([&] {
    const auto operations = http::codec::decode_batch(bytes);
    expect(!operations.empty() && operations.size() <= http::codec::batch_operations_max,
           "the number of operations is within its limits");
    for (const auto& operation : operations) {
      std::visit([](const auto& decoded) { check(decoded); }, operation);
    }
  });
}
