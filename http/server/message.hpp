// Requests and answers, as the transport and the service behind it exchange them.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace credits::http {

// The headers that identify a request's sender.
struct Sender {
  std::vector<std::string_view> authorization{};  // each Authorization header
  std::optional<std::string_view> host{};
  std::optional<std::string_view> origin{};  // the site of the browser page that made the request
  std::optional<std::string_view> fetch_site{};  // how that page's site is related to this one
  bool may_be_browser = false;  // has a header that browsers add and their pages cannot remove
  bool is_forwarded = false;    // a proxy's header says that it forwards the request
};

// Views into the connection's buffers.
struct HttpRequest {
  std::string_view method;
  std::string_view target;  // as sent: percent-encoded, with its query
  std::string_view body{};
  std::vector<std::string_view> idempotency_keys{};  // of each Idempotency-Key header
  Sender sender{};
  std::vector<std::string_view> if_none_match{};  // of each If-None-Match header
  std::vector<std::string_view> if_match{};       // of each If-Match header
  std::optional<std::string_view> accept_encoding{};
  // When the request was complete; its answer's time starts here.
  std::chrono::steady_clock::time_point received_at = std::chrono::steady_clock::now();
};

enum class ProblemKind : std::uint8_t;  // defined by the service; the transport passes it on

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::string body{};
  std::vector<std::pair<std::string, std::string>> headers{};
  // Which caches may store it (RFC 9111, section 5.2.2).
  std::string_view cache_control = "no-store";
  std::string etag{};    // with its quotes; empty: none
  bool is_gzip = false;  // whether the body is compressed; the transport compresses chunks
  // If set, produces the body: each call appends to `chunk`, until one returns false. An exception
  // breaks the connection, so that no client takes a partial body for a complete one.
  std::function<bool(std::string& chunk)> next_chunk{};
  // Called with the reason if such a body could not be sent to its end.
  std::function<void(std::string_view why)> broken_off{};
  std::optional<ProblemKind> problem{};  // the kind of problem in the body, if any
};

// The service's record of the call that a request makes; the transport only stores it.
class FoundCall {
 public:
  virtual ~FoundCall() = default;
};

// The service's decision about a request before its body is read.
struct Admission {
  std::unique_ptr<const FoundCall> call{};
  // Whether begin() never blocks, and the answer is not streamed. Otherwise a worker calls it.
  bool is_prompt = true;
  std::optional<HttpResponse> refusal{};
  std::function<HttpResponse()> refuse_body{};  // if set: answers a body of a valid type
  std::size_t body_bytes_max = 0;
  // Whether the body counts towards SessionLimits::buffered_bytes_max; if not, the service limits
  // the number of such bodies.
  bool is_body_budgeted = true;
  std::optional<std::chrono::milliseconds> request_timeout{};  // none: the server's own
};

}  // namespace credits::http
