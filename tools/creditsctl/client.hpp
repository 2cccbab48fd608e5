// The connection to the server: cpp-httplib, with errors translated for people.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "tools/creditsctl/failure.hpp"
#include "tools/creditsctl/options.hpp"

namespace httplib {
class ClientImpl;
class Result;
}  // namespace httplib

namespace credits::creditsctl {

// Every function throws Failure if the server cannot be reached or answers anything but 200. Bodies
// are returned unchanged.
class Client {
 public:
  explicit Client(const Options& options);
  ~Client();

  std::string get(const std::string& target);
  std::string put(const std::string& target, const std::string& body);
  std::string post(const std::string& target, const std::string& body);

  // Passes the answer's body on, piece by piece. Throws if it is cut short.
  void download(const std::string& target, const std::function<void(std::string_view)>& take);

  // Sends the pieces that `read` returns, until one is empty.
  std::string upload(const std::string& target, const std::function<std::string_view()>& read);

 private:
  std::string body_of(const httplib::Result& result) const;
  Failure no_answer(const httplib::Result& result) const;
  Failure refusal(int status, const std::string& body) const;
  Failure at_server(const std::string& what) const;

  const Options options_;
  const Url url_;
  std::unique_ptr<httplib::ClientImpl> client_;
};

// For a server that was reached but gave no sensible answer: names the scheme to use if the server
// speaks the other one. Probes the server, for about 5 s at most.
std::optional<std::string> fault_of_scheme(const Url& url);

// Encodes a path segment or a query value.
std::string percent_encoded(std::string_view text);

}  // namespace credits::creditsctl
