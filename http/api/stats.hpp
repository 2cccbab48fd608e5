// The answers about the service itself: /v1/stats, and the state of an install's actor.
#pragma once

#include <string>

#include "http/api/context.hpp"

namespace credits::http::codec {

std::string encode_stats(const ApiContext& context, actors::SteadyTime now);

// `stats`: of its actor; null if there is none.
std::string encode(const ledger::Row& row, const actors::InstallStats* stats, ledger::Time now);

}  // namespace credits::http::codec
