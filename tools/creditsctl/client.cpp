#include "tools/creditsctl/client.hpp"

#include <httplib.h>

#include <array>
#include <chrono>
#include <optional>
#include <utility>

#include "tools/creditsctl/json.hpp"

namespace credits::creditsctl {

namespace {

constexpr std::chrono::seconds connect_timeout{10};
constexpr std::chrono::seconds read_timeout{60};
constexpr std::chrono::minutes import_timeout{30};  // the server answers once all of it is durable
constexpr int ok = 200;
constexpr const char* json_type = "application/json";

std::unique_ptr<httplib::ClientImpl> make_unix_client(const std::string& path) {
  auto client = std::make_unique<httplib::ClientImpl>(path);
  client->set_address_family(AF_UNIX);
  client->set_default_headers({{"Host", "localhost"}});  // Debian 12's library would send the path
  return client;
}

std::unique_ptr<httplib::ClientImpl> make_client(const Url& url, const Options& options) {
  if (!url.socket_path.empty()) return make_unix_client(url.socket_path);
  if (!url.is_https) return std::make_unique<httplib::ClientImpl>(url.host, url.port);
  auto client = std::make_unique<httplib::SSLClient>(url.host, url.port);
  ::SSL_CTX_set_min_proto_version(client->ssl_context(), TLS1_2_VERSION);
  if (!options.ca_file.empty()) client->set_ca_cert_path(options.ca_file.string());
  return client;
}

// Probes do not send the token: the server may be anyone's.
constexpr std::chrono::seconds probe_timeout{5};

template <class Probe>
bool answers(Probe& client) {
  client.set_connection_timeout(probe_timeout);
  client.set_read_timeout(probe_timeout);
  return static_cast<bool>(client.Get("/healthz"));
}

bool speaks_tls(const Url& url) {
  httplib::SSLClient client{url.host, url.port};
  client.enable_server_certificate_verification(false);
  return answers(client);
}

bool speaks_plain_http(const Url& url) {
  httplib::ClientImpl client{url.host, url.port};
  return answers(client);
}

// Only Debian 13's library has a separate error for this.
template <class Error>
bool is_of_host_name(Error error) {
  if constexpr (requires { Error::SSLServerHostnameVerification; }) {
    return error == Error::SSLServerHostnameVerification;
  }
  return false;
}

bool is_unavailable(int status) { return status >= 502 && status <= 504; }

std::string hint_for(int status) {
  return status == 401 ? "; pass an administrator's token: --token-file FILE" : "";
}

// The server's reason for the refusal; nullopt if the body is not a creditsd problem.
std::optional<std::string> reason_of(int status, const std::string& body) {
  rapidjson::Document problem;
  problem.Parse<rapidjson::kParseIterativeFlag>(body.data(), body.size());
  if (problem.HasParseError() || !problem.IsObject() || !problem.HasMember("detail")) {
    return std::nullopt;
  }
  return text(problem, "detail") + " (" + text(problem, "code") + ")" + hint_for(status);
}

}  // namespace

Client::Client(const Options& options)
    : options_{options}, url_{url_of(options)}, client_{make_client(url_, options)} {
  client_->set_url_encode(false);
  client_->set_keep_alive(true);
  client_->set_tcp_nodelay(true);
  client_->set_connection_timeout(connect_timeout);
  client_->set_read_timeout(read_timeout);
  client_->set_write_timeout(read_timeout);
  if (!options.token_file.empty()) client_->set_bearer_token_auth(read_token(options.token_file));
}

Client::~Client() = default;

Failure Client::at_server(const std::string& what) const {
  return {unreachable, options_.url + ": " + what};
}

Failure Client::refusal(int status, const std::string& body) const {
  const int exit_status = is_unavailable(status) ? unreachable : failed;
  if (const auto reason = reason_of(status, body)) return {exit_status, *reason};
  if (const auto fault = fault_of_scheme(url_)) return at_server(*fault);
  return {exit_status, "the server answered " + std::to_string(status) +
                           " without saying why; does --url lead to a creditsd?"};
}

Failure Client::no_answer(const httplib::Result& result) const {
  constexpr const char* wrong_certificate =
      "its certificate is for another name, or its authority is not trusted; pass the authority's "
      "certificate: --ca-file FILE";
  switch (result.error()) {
    case httplib::Error::Connection:
    case httplib::Error::ConnectionTimeout:
      return at_server("cannot be reached; is creditsd running there?");
    case httplib::Error::SSLLoadingCerts:
      return {usage_error, "--ca-file " + options_.ca_file.string() + ": contains no certificates"};
    case httplib::Error::SSLServerVerification:
      return at_server(wrong_certificate);
    case httplib::Error::SSLConnection:
      return at_server(fault_of_scheme(url_).value_or("does not support TLS 1.2 or later"));
    default:
      if (is_of_host_name(result.error())) return at_server(wrong_certificate);
      return at_server(
          fault_of_scheme(url_).value_or("the connection ended before the answer was complete"));
  }
}

std::string Client::body_of(const httplib::Result& result) const {
  if (!result) throw no_answer(result);
  if (result->status != ok) throw refusal(result->status, result->body);
  return result->body;
}

std::string Client::get(const std::string& target) { return body_of(client_->Get(target)); }

std::string Client::put(const std::string& target, const std::string& body) {
  return body_of(client_->Put(target, body, json_type));
}

std::string Client::post(const std::string& target, const std::string& body) {
  return body_of(client_->Post(target, body, json_type));
}

void Client::download(const std::string& target,
                      const std::function<void(std::string_view)>& take) {
  int status = 0;
  std::string body;
  const auto result = client_->Get(
      target,
      [&status](const httplib::Response& response) {
        status = response.status;
        return true;
      },
      [&](const char* data, std::size_t size) {
        status == ok ? take({data, size}) : static_cast<void>(body.append(data, size));
        return true;
      });
  if (!result) throw no_answer(result);
  if (status != ok) throw refusal(status, body);
}

std::string Client::upload(const std::string& target,
                           const std::function<std::string_view()>& read) {
  client_->set_read_timeout(import_timeout);
  bool has_begun = false;
  const auto send_piece = [&](std::size_t offset, httplib::DataSink& sink) {
    // Prevent the library from sending again over another connection: the source is consumed.
    if (offset == 0 && std::exchange(has_begun, true)) return false;
    const std::string_view piece = read();
    if (!piece.empty()) return sink.write(piece.data(), piece.size());
    sink.done();
    return true;
  };
  return body_of(client_->Post(target, send_piece, json_type));
}

std::optional<std::string> fault_of_scheme(const Url& url) {
  if (!url.socket_path.empty()) return std::nullopt;
  if (url.is_https && speaks_plain_http(url)) return "the server does not use TLS: use http://";
  if (!url.is_https && speaks_tls(url)) return "the server uses TLS: use https://";
  return std::nullopt;
}

std::string percent_encoded(std::string_view text) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string encoded;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool is_plain = byte < 0x80 && (std::isalnum(byte) != 0 || c == '-' || c == '_');
    if (is_plain) {
      encoded += c;
    } else {
      encoded.append({'%', digits[byte >> 4U], digits[byte & 0xfU]});
    }
  }
  return encoded;
}

}  // namespace credits::creditsctl
