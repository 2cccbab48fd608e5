// Which requests can be answered without waiting for another byte of them.
#pragma once

#include <optional>
#include <string_view>

namespace credits::http {

struct PlainRequest {
  std::string_view method;
  std::string_view target;
};

// The request that `bytes` begin with, if it has come whole and there is nothing unusual about it:
// HTTP/1.1 without chunks, `Expect` or a `Connection` that ends it. Nothing says no more than that
// somebody has to look at it who can wait.
std::optional<PlainRequest> plain_request(std::string_view bytes);

}  // namespace credits::http
