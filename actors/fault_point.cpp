// Separate from handlers.cpp, so that a test program can link its own definition.
#include "actors/handlers.hpp"

namespace credits::actors {

void about_to_handle(const char* /*actor*/, caf::atom_value /*message*/) {}

}  // namespace credits::actors
