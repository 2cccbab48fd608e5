#include "tools/creditsd/quota_table.hpp"

namespace credits::creditsd {

namespace {

namespace codec = http::codec;
using http::access_quota;

constexpr const char* table_name = "quota in PostgreSQL";

}  // namespace

QuotaTable::QuotaTable(const std::string& uri, const ledger::Quota& first) : table_{uri} {
  access_quota("write", table_name,
               [&] { return codec::decode_quota(table_.read_or_keep(codec::encode(first))); });
}

ledger::Quota QuotaTable::read() {
  return access_quota("read", table_name, [&] { return codec::decode_quota(table_.read()); });
}

void QuotaTable::write(const ledger::Quota& quota) {
  access_quota("write", table_name, [&] { table_.replace(codec::encode(quota)); });
}

std::optional<ledger::Quota> QuotaTable::write_if(const http::QuotaCondition& condition,
                                                  const ledger::Quota& quota) {
  return access_quota("write", table_name, [&]() -> std::optional<ledger::Quota> {
    const std::string text = table_.read();
    ledger::Quota stored = codec::decode_quota(text);
    if (!condition(stored)) return stored;
    if (table_.replace_if(text, codec::encode(quota))) return std::nullopt;
    return codec::decode_quota(table_.read());  // another node was faster
  });
}

}  // namespace credits::creditsd
