// The main function that Catch2 version 2 wants a program to ask for.
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
