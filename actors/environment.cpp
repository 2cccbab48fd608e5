#include "actors/environment.hpp"

#include <chrono>
#include <random>

namespace credits::actors {

ledger::Time system_time() {
  return std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
}

ledger::MutationId random_mutation_id() {
  thread_local std::mt19937_64 random{[] {
    std::random_device device;
    std::seed_seq seed{device(), device(), device(), device(), device(), device(), device()};
    return std::mt19937_64{seed};
  }()};
  return {random(), random()};
}

}  // namespace credits::actors
