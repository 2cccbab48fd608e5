// Runs a fuzz target over the files of a folder, for builds without libFuzzer: every build tries
// the earlier findings.
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>

#include "tests/fuzz/fuzz.hpp"

int main(int argc, char** argv) {
  std::size_t tried = 0;
  for (int i = 1; i < argc; ++i) {
    for (const auto& entry : std::filesystem::directory_iterator{argv[i]}) {
      std::ifstream file{entry.path(), std::ios::binary};
      const std::string bytes{std::istreambuf_iterator<char>{file}, {}};
      std::cerr << entry.path().filename().string() << "\n";
      credits::tests::try_bytes(bytes);
      ++tried;
    }
  }
  std::cerr << tried << " files\n";
  return tried > 0 ? 0 : 1;
}
