#include "tools/creditsctl/fresh_file.hpp"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "actors/base/files.hpp"
#include "tools/creditsctl/failure.hpp"

namespace credits::creditsctl {

namespace {

std::atomic<const char*> unfinished{nullptr};

void end_by_signal(int signal) {
  if (const char* path = unfinished.load(); path != nullptr) ::unlink(path);
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

}  // namespace

FreshFile::FreshFile(const std::filesystem::path& target) : target_{target} {
  const auto status = std::filesystem::symlink_status(target);
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
    throw Failure{failed,
                  target.string() + ": is not a regular file, and would be replaced by one"};
  }
  std::string name = target.string() + ".XXXXXX";
  descriptor_ = ::mkstemp(name.data());
  if (descriptor_ < 0) fail();
  path_ = name;
  unfinished = path_.c_str();
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    // nohup ignores SIGHUP: keep it so.
    if (std::signal(signal, &end_by_signal) == SIG_IGN) std::signal(signal, SIG_IGN);
  }
}

FreshFile::~FreshFile() {
  ::close(descriptor_);
  if (unfinished.exchange(nullptr) != nullptr) ::unlink(path_.c_str());
}

void FreshFile::write(std::string_view content) {
  while (!content.empty()) {
    const ssize_t put = ::write(descriptor_, content.data(), content.size());
    if (put < 0 && errno != EINTR) fail();
    if (put > 0) content.remove_prefix(static_cast<std::size_t>(put));
  }
}

void FreshFile::put_in_place() {
  if (::fsync(descriptor_) != 0 || ::rename(path_.c_str(), target_.c_str()) != 0) fail();
  unfinished = nullptr;
  const auto directory = target_.parent_path();
  base::sync_directory(directory.empty() ? "." : directory);
}

void FreshFile::fail() const {
  throw Failure{failed, target_.string() + ": " + std::strerror(errno)};
}

}  // namespace credits::creditsctl
