// A request and its answer, as the rest of http/ sees them: without the HTTP library.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace credits::http {

struct HttpRequest {
  std::string_view method;
  std::string_view target;  // as sent: percent-encoded, with its query
  std::string_view body;
  std::vector<std::string>
      idempotency_keys{};  // the values of each Idempotency-Key header, as sent
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::string body{};
  std::vector<std::pair<std::string, std::string>> headers{};
  // If set, the body is what this appends, call after call, until it returns false. An exception
  // cuts the connection, so that nobody takes half a body for a whole one.
  std::function<bool(std::string& chunk)> next_chunk{};
};

// Called on many threads at once.
using Handler = std::function<HttpResponse(const HttpRequest&)>;

}  // namespace credits::http
