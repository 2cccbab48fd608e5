// An accepted quota, when written again, reads the same.
#include "http/codec/quota.hpp"

#include "actors/ledger/quota.hpp"
#include "http/codec/names.hpp"
#include "tests/fuzz/fuzz.hpp"

void credits::tests::try_bytes(std::string_view bytes) {
  ledger::Quota quota;
  try {
    quota = http::codec::decode_quota(bytes);
  } catch (const http::codec::QuotaError& error) {
    expect(*error.what() != '\0', "an error says what is wrong");
    return;
  }
  expect(quota.contains(ledger::fallback_tier), "a quota has core");
  for (const auto& [tier, limits] : quota) {
    expect(!http::codec::fault_of_tier(tier), "a row may have every tier of a quota");
  }
  expect(http::codec::decode_quota(http::codec::encode(quota)) == quota,
         "it decodes to the same after encoding");
}
