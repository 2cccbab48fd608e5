// Catch2 is version 2 on Debian 12 and version 3 on Debian 13. This header and tests/CMakeLists.txt
// are the only places that depend on it.
#pragma once

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#else
#include <catch2/catch.hpp>
#endif
