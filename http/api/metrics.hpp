// The live figures in Prometheus' text format. The only user of prometheus-cpp, which writes the
// format; the figures are kept elsewhere, because /v1/stats shows the same ones.
#pragma once

#include <string>

#include "http/api/context.hpp"

namespace credits::http {

std::string metrics_text(const ApiContext& context, actors::SteadyTime now);

}  // namespace credits::http
