#include "http/codec/json_string.hpp"

#include "actors/base/text.hpp"
#include "http/codec/json.hpp"
#include "http/codec/problem.hpp"

namespace credits::http::codec {

std::string json_string(std::string_view text) {
  using Checking =
      rapidjson::Writer<rapidjson::StringBuffer, rapidjson::UTF8<>, rapidjson::UTF8<>,
                        rapidjson::CrtAllocator, rapidjson::kWriteValidateEncodingFlag>;
  rapidjson::StringBuffer buffer;
  Checking out{buffer};
  const bool is_utf8 = out.String(text.data(), static_cast<rapidjson::SizeType>(text.size()));
  return is_utf8 ? std::string{buffer.GetString(), buffer.GetSize()}
                 : json_string(base::printable(text));
}

}  // namespace credits::http::codec
