// The quota in force, where its home does not answer.
#include "http/quota_home.hpp"

#include <chrono>
#include <future>
#include <thread>

#include "tests/catch.hpp"
#include "tests/ledger_fixtures.hpp"
#include "tests/told.hpp"

namespace credits::http {
namespace {

using namespace credits::tests;
using namespace std::chrono_literals;

// Stands still in a write until it is let go.
class StillHome : public QuotaHome {
 public:
  ledger::Quota read() override { return quota; }
  void write(const ledger::Quota&) override {
    has_begun.set_value();
    may_end.get_future().wait();
  }

  std::promise<void> has_begun;
  std::promise<void> may_end;
};

TEST_CASE("who finds the quota's home busy for too long gives up, and what was first goes on") {
  StillHome home;
  actors::QuotaInForce in_force{{}};
  QuotaKeeper keeper{home, in_force, 20ms};
  std::thread first{[&] { keeper.replace(quota); }};
  home.has_begun.get_future().wait();
  check_tells(told_by<QuotaHomeError>([&] { keeper.replace({}); }), {"does not answer"});
  check_tells(told_by<QuotaHomeError>([&] { keeper.reload(); }), {"does not answer"});
  CHECK(keeper.in_force() == ledger::Quota{});
  home.may_end.set_value();
  first.join();
  CHECK(keeper.in_force() == quota);
}

}  // namespace
}  // namespace credits::http
