// The answers that show the service itself: /v1/stats, and how an install's actor is.
#pragma once

#include <string>

#include "http/context.hpp"

namespace credits::http::codec {

std::string encode_stats(const ApiContext& context, actors::SteadyTime now);

std::string encode(const std::string& install_id, const actors::InstallReport& report,
                   ledger::Time now);

}  // namespace credits::http::codec
