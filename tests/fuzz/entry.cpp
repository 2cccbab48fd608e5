#include "tests/fuzz/fuzz.hpp"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  credits::tests::try_bytes({reinterpret_cast<const char*>(data), size});
  return 0;
}
