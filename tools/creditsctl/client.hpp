// Talks to the server: cpp-httplib, with the errors told as people need them.
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

// Every function throws Failure: if the server cannot be reached, and if it answers anything but
// 200. The bodies are the answers' as they came.
class Client {
 public:
  explicit Client(const Options& options);
  ~Client();

  std::string get(const std::string& target);
  std::string put(const std::string& target, const std::string& body);
  std::string post(const std::string& target, const std::string& body);

  // Passes on the body of the answer, piece by piece. Throws if it was cut short.
  void download(const std::string& target, const std::function<void(std::string_view)>& take);

  // Sends what `read` gives, piece by piece, until it gives an empty one.
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

// Of a server that is there, and has given no answer that makes sense: whether it wants the other
// scheme, and which. Asks it; takes 5 s or so at most.
std::optional<std::string> fault_of_scheme(const Url& url);

// For a segment of a path or a value in a query.
std::string percent_encoded(std::string_view text);

}  // namespace credits::creditsctl
