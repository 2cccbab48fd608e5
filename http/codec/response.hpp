// Encodes the bodies of answers: from the actors' answers to JSON, in the contract's field names.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "actors/operation.hpp"
#include "http/codec/problem.hpp"

namespace credits::http::codec {

std::string encode(const actors::InstallView& install);
std::string encode(const actors::PlanView& plan);
std::string encode(const actors::ReservationView& reservation);
std::string encode(const Problem& problem);

// The answer to one operation of a batch.
struct Result {
  int status = 200;
  std::string body;                      // an object; a problem's already has its status
  std::optional<ProblemKind> problem{};  // the kind of problem in the body, if any
  bool replayed = false;
};

std::string encode_results(const std::vector<Result>& results);

struct InstallPage {
  std::vector<actors::InstallView> installs;
  std::optional<std::string> next_after;
};

struct EntryPage {
  std::vector<ledger::Entry> entries;
  std::optional<std::uint64_t> next_before;
};

std::string encode(const InstallPage& page);
std::string encode(const EntryPage& page);

// One member of the object `rows` of the JSON ledger: `"id":{…}`, the eight fields as stored.
std::string encode_ledger_member(const ledger::Row& row);

}  // namespace credits::http::codec
