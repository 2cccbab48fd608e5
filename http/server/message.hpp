// A request and its answer, between the transport and the service behind it.
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

// What a request's headers say of who sends it, and from where.
struct Sender {
  std::vector<std::string_view> authorization{};  // each Authorization header
  std::optional<std::string_view> host{};
  std::optional<std::string_view> origin{};      // a browser's page that made the request
  std::optional<std::string_view> fetch_site{};  // how that page's site is related to this one
  bool may_be_browser = false;  // has a header that no browser's page can leave out
  bool is_forwarded = false;    // a proxy says that it sends for somebody else
};

// Views into what the connection has read.
struct HttpRequest {
  std::string_view method;
  std::string_view target;  // as sent: percent-encoded, with its query
  std::string_view body{};
  std::vector<std::string_view> idempotency_keys{};  // of each Idempotency-Key header
  Sender sender{};
  std::optional<std::string_view> if_none_match{};  // as sent
  std::vector<std::string_view> if_match{};         // of each If-Match header
  // From when on its answer is waited for.
  std::chrono::steady_clock::time_point was_whole_at = std::chrono::steady_clock::now();
};

enum class ProblemKind : std::uint8_t;  // the service's own; the transport passes it on

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::string body{};
  std::vector<std::pair<std::string, std::string>> headers{};
  // Who may keep it; see RFC 9111, section 5.2.2.
  std::string_view cache_control = "no-store";
  std::string etag{};  // with its quotes; empty: none
  // If set, the body is what this appends, call after call, until it returns false. An exception
  // cuts the connection, so that nobody takes half a body for a whole one.
  std::function<bool(std::string& chunk)> next_chunk{};
  // Is told why, if such a body could not be sent to its end.
  std::function<void(std::string_view why)> broken_off{};
  std::optional<ProblemKind> problem{};  // of the body; none: it is no problem
};

// The call that the service has found a request to be; the transport only keeps it.
class FoundCall {
 public:
  virtual ~FoundCall() = default;
};

// What becomes of a request before its body is read.
struct Admission {
  std::unique_ptr<const FoundCall> call{};
  // Whether the answer keeps nobody waiting, or is told of later, and comes whole.
  bool is_prompt = true;
  std::optional<HttpResponse> refusal{};
  std::function<HttpResponse()> refuse_body{};  // if set: asked for where the body's type is fine
  std::size_t body_bytes_max = 0;
  std::optional<std::chrono::milliseconds> request_timeout{};  // none: the server's
};

}  // namespace credits::http
