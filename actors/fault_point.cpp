// Apart from handlers.cpp, so that a program for tests can link its own.
#include "actors/handlers.hpp"

namespace credits::actors {

void about_to_handle(const char* /*actor*/, caf::atom_value /*message*/) {}

}  // namespace credits::actors
