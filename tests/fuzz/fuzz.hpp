// The interface of a fuzz target: one function, which takes any bytes and ends the program if a
// promise about them is broken. libFuzzer generates the bytes (preset `fuzz`); replay.cpp reads
// them from files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string_view>

namespace credits::tests {

inline void expect(bool is_kept, std::string_view promise) {
  if (is_kept) return;
  std::cerr << "broken: " << promise << "\n";
  std::abort();
}

void try_bytes(std::string_view bytes);

}  // namespace credits::tests

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
