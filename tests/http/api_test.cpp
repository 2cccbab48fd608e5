// From a request to its answer, with real actors on a store that fails on command.
#include "http/api/api.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "actors/gateway.hpp"
#include "actors/system.hpp"
#include "http/api/answer.hpp"
#include "http/codec/quota.hpp"
#include "http/server/compression.hpp"
#include "tests/catch.hpp"
#include "tests/ledger_fixtures.hpp"
#include "tests/memory_store.hpp"
#include "tests/store_errors.hpp"
#include "tests/temporary_directory.hpp"
#include "tests/told.hpp"

namespace credits::http {
namespace {

using namespace credits::tests;
using namespace std::chrono_literals;

// On command, blocks where operators' pages are read, or fails some or all reads.
class FaultyStore : public persistence::MemoryStore {
 public:
  void block() { gate_.lock(); }
  void unblock() { gate_.unlock(); }

  // Call before the first read. Afterwards every read fails, or every read of `install_id`.
  void break_reads() { reads_fail_ = true; }
  void damage(std::string install_id) { damaged_ = std::move(install_id); }
  void damage_entries(std::string install_id) {
    only_entries_ = true;
    damage(std::move(install_id));
  }
  void damage_rows_of_snapshots() { is_damaged_in_mid_snapshot_ = true; }

  std::vector<persistence::StampedRow> load(std::span<const std::string> ids) override {
    if (!only_entries_) fail_on_command(ids);
    return MemoryStore::load(ids);
  }
  std::vector<ledger::Row> list(const persistence::ListQuery& query) override {
    const std::lock_guard lock{gate_};
    fail_on_command({});
    return MemoryStore::list(query);
  }
  std::vector<ledger::Entry> entries(const std::string& id, std::uint64_t before,
                                     std::size_t limit) override {
    fail_on_command(std::span{&id, 1});
    return MemoryStore::entries(id, before, limit);
  }
  std::unique_ptr<persistence::RowCursor> snapshot() override {
    if (is_damaged_in_mid_snapshot_) return std::make_unique<DamagedCursor>();
    fail_on_command({});
    return MemoryStore::snapshot();
  }

 private:
  // No ids: all of them.
  void fail_on_command(std::span<const std::string> ids) const {
    if (reads_fail_)
      throw persistence::StoreError{persistence::StoreErrorKind::unavailable, "fails on command"};
    if (!damaged_.empty() &&
        (ids.empty() || std::find(ids.begin(), ids.end(), damaged_) != ids.end())) {
      throw persistence::StoreError{persistence::StoreErrorKind::damaged,
                                    "install \"" + damaged_ + "\" is damaged on command"};
    }
  }

  class DamagedCursor : public persistence::RowCursor {
    std::optional<ledger::Row> next() override {
      throw persistence::StoreError{persistence::StoreErrorKind::damaged,
                                    "a row is damaged on command"};
    }
  };

  std::mutex gate_;
  std::atomic<bool> reads_fail_{false};
  std::string damaged_;
  bool only_entries_ = false;
  bool is_damaged_in_mid_snapshot_ = false;
};

class Service {
 public:
  explicit Service(ApiLimits limits = {}) {
    quota_file_.write(quota);
    actors_ = actors::spawn_ledger(system_, store, environment_, {.probe_interval = 1h});
    api_ = std::make_unique<Api>(
        ApiContext{gateway_, environment_, quota_, access_, figures_, {"1.2.3", "memory"}}, limits);
  }
  ~Service() {
    api_.reset();
    caf::scoped_actor self{system_};
    actors::close_ledger(self, actors_);
  }
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  HttpResponse call(std::string_view method, std::string_view target, std::string_view body = "") {
    const HttpRequest request{method, target, body};
    return answer_of(*api_, request, api_->admit(request));
  }

  // A call whose request was complete this long ago.
  HttpResponse call_late(std::string_view target, std::chrono::milliseconds ago) {
    HttpRequest request{"GET", target};
    request.received_at -= ago;
    return answer_of(*api_, request, api_->admit(request));
  }

  SlowRequests::Seen slow_requests() { return figures_.slow_requests.take(); }

  Admission admit(std::string_view method, std::string_view target) {
    return api_->admit({method, target});
  }

  HttpResponse fail(const std::exception& error) { return api_->failed(error); }

  // What the operator was told.
  std::string log() {
    const std::lock_guard lock{log_mutex_};
    return log_;
  }

  HttpResponse call(const HttpRequest& request) {
    return answer_of(*api_, request, api_->admit(request));
  }

  void begin_and_leave(std::string_view method, std::string_view target) {
    const HttpRequest request{method, target};
    api_->begin(request, api_->admit(request), std::make_shared<BlockingListener>());
  }

  HttpResponse commit(std::string_view id) {
    return call("POST", "/v1/installs/" + std::string{id} + "/commit",
                R"({"backend":"gemini","tier":"core"})");
  }

  std::filesystem::path quota_path() const { return directory_.path() / "quota.json"; }

  actors::Figures& figures() { return environment_.figures; }
  actors::StoreHealth& health() { return environment_.store_health; }

  FaultyStore store;

 private:
  TemporaryDirectory directory_;
  std::mutex log_mutex_;
  std::string log_;  // guarded by log_mutex_
  actors::Environment environment_{[] { return november; },
                                   actors::random_mutation_id,
                                   [this](const actors::Event& event) {
                                     const std::lock_guard lock{log_mutex_};
                                     log_ += event.text + "\n";
                                   },
                                   record,
                                   false,
                                   actors::QuotaInForce{quota}};
  QuotaFile quota_file_{quota_path()};
  QuotaKeeper quota_{quota_file_, environment_.quota};
  const Access access_;
  HttpFigures figures_;
  caf::actor_system_config config_;
  caf::actor_system system_{config_};
  actors::LedgerActors actors_;
  const actors::Gateway gateway_{actors_};
  std::unique_ptr<Api> api_;
};

std::string header_of(const HttpResponse& response, const std::string& name) {
  for (const auto& [key, value] : response.headers) {
    if (key == name) return value;
  }
  return "";
}

void check_problem(const HttpResponse& response, int status, const std::string& code) {
  CHECK(response.status == status);
  CHECK(response.content_type == "application/problem+json");
  check_tells(response.body, {"\"status\":" + std::to_string(status), "\"code\":\"" + code + "\"",
                              "\"type\":", "\"title\":", "\"detail\":"});
  CHECK(header_of(response, "Retry-After") == (status == 503 ? "1" : ""));
}

std::string body_of(HttpResponse response) {
  bool more = static_cast<bool>(response.next_chunk);
  while (more) more = response.next_chunk(response.body);
  return response.body;
}

TEST_CASE("an install is answered with the contract's field names, in its order") {
  Service service;
  CHECK(service.call("PUT", "/v1/installs/a%2Fb").status == 201);
  const auto response = service.call("PUT", "/v1/installs/a%2Fb");
  CHECK(response.status == 200);
  CHECK(response.content_type == "application/json");
  CHECK(response.body ==
        R"({"install_id":"a/b","tier_snapshot":"core","lifetime_consumed":0,)"
        R"("lifetime_gemini_consumed":0,"month":"2026-11","monthly_consumed":0,)"
        R"("monthly_gemini_consumed":0,"last_active_at":"2026-11-24T03:53:00.000Z","version":1,)"
        R"("balance":{"remaining":100,"capped":"lifetime","gemini_remaining":50,"held":0}})");
}

TEST_CASE("a plan is answered with its reason or its backend") {
  Service service;
  CHECK(service.call("POST", "/v1/installs/a/plan").body ==
        R"({"allowed":true,"backend":"gemini","reason":null,)"
        R"("balance":{"remaining":100,"capped":"lifetime","gemini_remaining":50,"held":0}})");
  CHECK(service.call("POST", "/v1/installs/a/plan", R"({"tier":"max"})").body ==
        R"({"allowed":true,"backend":"gemini","reason":null,)"
        R"("balance":{"remaining":null,"capped":"monthly","gemini_remaining":null,"held":0}})");
  CHECK(service.call("POST", "/v1/installs/a/plan", R"({"credits":101})").body ==
        R"({"allowed":false,"backend":null,"reason":"out_of_credits",)"
        R"("balance":{"remaining":100,"capped":"lifetime","gemini_remaining":50,"held":0}})");
}

TEST_CASE("entries are answered with every field of the contract") {
  Service service;
  service.call("PUT", "/v1/installs/a");
  service.commit("a");
  CHECK(service.call("GET", "/v1/installs/a/entries?limit=1").body ==
        R"({"entries":[{"version":2,"at":"2026-11-24T03:53:00.000Z","kind":"commit","tier":"core",)"
        R"("backend":"gemini","credits":1,"counter":"lifetime","month":"2026-11",)"
        R"("idempotency_key":null,"reservation_id":null}],"next_before":2})");
  CHECK(service.call("GET", "/v1/installs/a/entries?before=2").body ==
        R"({"entries":[{"version":1,"at":"2026-11-24T03:53:00.000Z","kind":"create","tier":"core",)"
        R"("backend":null,"credits":0,"counter":null,"month":"2026-11",)"
        R"("idempotency_key":null,"reservation_id":null}],"next_before":null})");
  check_problem(service.call("GET", "/v1/installs/b/entries"), 404, "unknown_install");
}

TEST_CASE("a snapshot is the JSON ledger, however many rows it has") {
  Service service;
  CHECK(body_of(service.call("GET", "/v1/snapshot")) == R"({"rows":{}})");
  service.commit("a");
  CHECK(body_of(service.call("GET", "/v1/snapshot")) ==
        R"({"rows":{"a":{"install_id":"a","tier_snapshot":"core","lifetime_consumed":1,)"
        R"("lifetime_gemini_consumed":1,"month":"2026-11","monthly_consumed":0,)"
        R"("monthly_gemini_consumed":0,"last_active_at":"2026-11-24T03:53:00.000Z"}}})");
}

TEST_CASE("a commit that the store did not confirm is 503, and may be tried again") {
  Service service;
  service.commit("a");
  service.store.fail_appends(1);
  check_problem(service.commit("a"), 503, "storage_unavailable");
  check_problem(service.call("GET", "/readyz"), 503, "storage_unavailable");
  CHECK(service.call("GET", "/healthz").status == 200);
  check_tells(service.commit("a").body, {"\"lifetime_consumed\":2,"});
  CHECK(service.call("GET", "/readyz").status == 200);
}

TEST_CASE("an install that cannot be loaded is 503") {
  Service service;
  service.store.fail_loads(1);
  check_problem(service.call("GET", "/v1/installs/a"), 503, "storage_unavailable");
  check_problem(service.call("GET", "/v1/installs/a"), 404, "unknown_install");
  service.store.fail_loads(1);
  check_problem(service.call("GET", "/v1/installs/a/entries"), 503, "storage_unavailable");
}

TEST_CASE("an answer that does not come in time leaves the outcome open") {
  Service service{{.answer_timeout = 20ms}};
  service.store.hold_appends();
  check_problem(service.commit("a"), 503, "storage_unavailable");
  service.store.release_appends();
}

TEST_CASE("beyond the limit of requests in flight, a request is refused without effect") {
  Service service{{.requests_in_flight_max = 1}};
  service.store.hold_appends();
  std::thread first{[&service] { CHECK(service.commit("a").status == 200); }};
  service.store.wait_for_held_append();
  check_problem(service.call("GET", "/v1/quota"), 503, "overloaded");
  check_problem(service.commit("b"), 503, "overloaded");
  CHECK(service.call("GET", "/healthz").status == 200);
  service.store.release_appends();
  first.join();
  CHECK(service.call("GET", "/v1/quota").status == 200);
  check_problem(service.call("GET", "/v1/installs/b"), 404, "unknown_install");
}

TEST_CASE("beyond the limit of operations in flight, a batch is refused without effect") {
  Service service{{.operations_in_flight_max = 1}};
  const std::string create = R"({"op":"create","install_id":"a"})";
  check_problem(
      service.call("POST", "/v1/batch", R"({"operations":[)" + create + "," + create + "]}"), 503,
      "overloaded");
  check_problem(service.call("GET", "/v1/installs/a"), 404, "unknown_install");
  CHECK(service.call("POST", "/v1/batch", R"({"operations":[)" + create + "]}")
            .body.find("\"status\":201") != std::string::npos);
}

// Waits until the blocked requests have finished.
void wait_for_room(Service& service, std::string_view method, std::string_view target,
                   std::string_view body = "") {
  const auto deadline = std::chrono::steady_clock::now() + 30s;
  while (service.call(method, target, body).status == 503) {
    REQUIRE(std::chrono::steady_clock::now() < deadline);
    std::this_thread::yield();
  }
}

// Repeats the call while a slow machine does not finish it within the service's timeout.
template <class Call>
HttpResponse in_the_end(Call call) {
  const auto deadline = std::chrono::steady_clock::now() + 30s;
  HttpResponse response = call();
  while (response.problem == ProblemKind::storage_unavailable &&
         std::chrono::steady_clock::now() < deadline) {
    response = call();
  }
  return response;
}

TEST_CASE("a request that was given up counts as in flight until it is finished") {
  Service service{{.requests_in_flight_max = 2, .answer_timeout = 20ms}};
  service.store.hold_appends();
  check_problem(service.commit("a"), 503, "storage_unavailable");
  check_problem(service.commit("a"), 503, "storage_unavailable");
  check_problem(service.commit("b"), 503, "overloaded");
  CHECK(service.call("GET", "/v1/stats").status == 200);
  CHECK(service.call("GET", "/metrics").status == 200);
  service.store.release_appends();
  wait_for_room(service, "PUT", "/v1/installs/c");
  check_problem(in_the_end([&] { return service.call("GET", "/v1/installs/b"); }), 404,
                "unknown_install");
}

TEST_CASE(
    "the operations of a batch that was given up count as in flight until they are finished") {
  Service service{{.operations_in_flight_max = 1, .answer_timeout = 20ms}};
  service.store.hold_appends();
  const std::string batch = R"({"operations":[{"op":"create","install_id":"a"}]})";
  check_problem(service.call("POST", "/v1/batch", batch), 503, "storage_unavailable");
  check_problem(service.call("POST", "/v1/batch", batch), 503, "overloaded");
  service.store.release_appends();
  wait_for_room(service, "POST", "/v1/batch", batch);
}

TEST_CASE("a request whose client has gone counts as in flight until it is finished") {
  Service service{{.requests_in_flight_max = 1}};
  service.store.hold_appends();
  service.begin_and_leave("PUT", "/v1/installs/a");
  check_problem(service.commit("b"), 503, "overloaded");
  service.store.release_appends();
  wait_for_room(service, "PUT", "/v1/installs/c");
}

TEST_CASE("an operator's call is refused if too many already wait for the store") {
  Service service{{.operator_calls_max = 2, .answer_timeout = 20ms}};
  service.store.block();
  check_problem(service.call("GET", "/v1/installs"), 503, "storage_unavailable");
  check_problem(service.call("GET", "/v1/snapshot"), 503, "storage_unavailable");
  for (const std::string_view target :
       {"/v1/installs", "/v1/installs/a/entries", "/v1/installs/a/actor", "/v1/snapshot"}) {
    check_problem(service.call("GET", target), 503, "overloaded");
  }
  CHECK(in_the_end([&] { return service.commit("a"); }).status == 200);
  service.store.unblock();
  wait_for_room(service, "GET", "/v1/installs");
}

TEST_CASE("a call's time counts from its complete request") {
  Service service;
  CHECK(service.call_late("/v1/snapshot", 5s).status == 200);
  const auto slow = service.slow_requests();
  CHECK(slow.request == "GET /v1/snapshot");
  CHECK(slow.longest >= 5s);
}

TEST_CASE("beyond the limit of snapshots being sent, one is refused") {
  Service service{{.snapshots_max = 1}};
  service.commit("a");
  std::optional<HttpResponse> first = service.call("GET", "/v1/snapshot");
  check_problem(service.call("GET", "/v1/snapshot"), 503, "overloaded");
  CHECK(service.call("GET", "/v1/installs").status == 200);
  first.reset();
  CHECK(body_of(service.call("GET", "/v1/snapshot")).find("\"a\"") != std::string::npos);
}

TEST_CASE("while an import that was given up goes on, another one is refused") {
  Service service{{.import_timeout = 20ms}};
  service.store.hold_appends();
  const std::string_view ledger = R"({"rows":{"a":{"lifetime_consumed":1}}})";
  check_problem(service.call("POST", "/v1/import", ledger), 503, "storage_unavailable");
  check_problem(service.call("POST", "/v1/import", ledger), 503, "overloaded");
  service.store.release_appends();
  wait_for_room(service, "POST", "/v1/import", ledger);
  check_problem(service.call("POST", "/v1/import", ledger), 409, "ledger_not_empty");
}

TEST_CASE("an import that is being received is refused another beside it, before its body") {
  Service service;
  {
    const Admission first = service.admit("POST", "/v1/import");
    CHECK_FALSE(first.refuse_body);
    CHECK_FALSE(first.is_body_budgeted);
    const Admission second = service.admit("POST", "/v1/import");
    REQUIRE(second.refuse_body);
    check_problem(second.refuse_body(), 503, "overloaded");
  }
  CHECK_FALSE(service.admit("POST", "/v1/import").refuse_body);
  check_problem(service.call("POST", "/v1/import", "{"), 400, "invalid_json");
  CHECK(service.call("POST", "/v1/import", R"({"rows":{"a":{}}})").status == 200);
  const Admission late = service.admit("POST", "/v1/import");
  REQUIRE(late.refuse_body);
  check_problem(late.refuse_body(), 409, "ledger_not_empty");
}

TEST_CASE("what needs no store waits for no worker, and what may wait for one does") {
  Service service;
  for (const std::string_view target :
       {"/", "/chart.js", "/openapi.yaml", "/v1/quota", "/v1/stats", "/metrics", "/healthz",
        "/readyz", "/v1/installs/a", "/v1/nothing"}) {
    INFO(target);
    CHECK(service.admit("GET", target).is_prompt);
  }
  for (const std::string_view target :
       {"/v1/installs", "/v1/installs/a/entries", "/v1/installs/a/actor", "/v1/snapshot"}) {
    INFO(target);
    CHECK_FALSE(service.admit("GET", target).is_prompt);
  }
  CHECK_FALSE(service.admit("PUT", "/v1/quota").is_prompt);
  CHECK_FALSE(service.admit("POST", "/v1/import").is_prompt);
}

TEST_CASE("a call that throws is a 500, and the log has the reason") {
  Service service;
  check_problem(service.fail(std::runtime_error{"broken"}), 500, "internal_error");
  check_tells(service.log(), {"unexpected: broken"});
}

TEST_CASE("the page is sent compressed to those who take it so, under one tag") {
  Service service;
  const HttpResponse plain = service.call("GET", "/page.js");
  HttpRequest request{"GET", "/page.js"};
  request.accept_encoding = "gzip";
  const HttpResponse packed = service.call(request);
  CHECK_FALSE(plain.is_gzip);
  CHECK(packed.is_gzip);
  CHECK(gunzip(packed.body, plain.body.size()) == plain.body);
  CHECK(packed.etag == plain.etag);
  CHECK(header_of(packed, "Vary") == "Accept-Encoding");
  CHECK(header_of(plain, "Vary") == "Accept-Encoding");
  request.if_none_match = {plain.etag};
  const HttpResponse known = service.call(request);
  CHECK(known.status == 304);
  CHECK(known.body.empty());
  request.target = "/favicon.svg";  // it would hardly get smaller
  request.if_none_match = {};
  CHECK_FALSE(service.call(request).is_gzip);
}

constexpr std::string_view core_of_7 = R"({"core":{"lifetime":7,"geminiCapLifetime":null}})";

HttpResponse put_quota_if(Service& service, const std::vector<std::string_view>& if_match,
                          const std::vector<std::string_view>& if_none_match) {
  HttpRequest request{"PUT", "/v1/quota", core_of_7};
  request.if_match = if_match;
  request.if_none_match = if_none_match;
  return service.call(request);
}

TEST_CASE("a quota that If-None-Match names is not replaced") {
  Service service;
  const std::string tag = service.call("GET", "/v1/quota").etag;
  const std::string weak = "W/" + tag;
  const std::string before = service.call("GET", "/v1/quota").body;
  using Values = std::vector<std::string_view>;
  for (const Values& values : {Values{"*"}, Values{tag}, Values{weak}, Values{R"("x")", tag}}) {
    check_problem(put_quota_if(service, {}, values), 412, "precondition_failed");
    check_problem(put_quota_if(service, {tag}, values), 412, "precondition_failed");
  }
  check_problem(put_quota_if(service, {}, {"x"}), 400, "bad_request");
  CHECK(service.call("GET", "/v1/quota").body == before);
  check_problem(put_quota_if(service, {R"("x")"}, {R"("x")"}), 412, "precondition_failed");
  CHECK(put_quota_if(service, {tag}, {R"("x")"}).status == 200);
  CHECK(put_quota_if(service, {}, {tag}).status == 200);
  CHECK(service.call("GET", "/v1/quota").body == core_of_7);
}

TEST_CASE("a quota that If-Match does not name is not shown") {
  Service service;
  const std::string tag = service.call("GET", "/v1/quota").etag;
  HttpRequest request{"GET", "/v1/quota"};
  request.if_match = {R"("x")"};
  check_problem(service.call(request), 412, "precondition_failed");
  request.if_none_match = {"*"};
  check_problem(service.call(request), 412, "precondition_failed");
  request.if_match = {tag};
  CHECK(service.call(request).status == 304);
  request.if_none_match = {};
  CHECK(service.call(request).status == 200);
  request.if_match = {"x"};
  check_problem(service.call(request), 400, "bad_request");
}

TEST_CASE("a quota that is stored in other bytes than were sent is answered without its tag") {
  Service service;
  CHECK(service.call("PUT", "/v1/quota", R"({"core":{"lifetime":7}})").etag.empty());
  CHECK(service.call("PUT", "/v1/quota", std::string{core_of_7} + "\n").etag.empty());
  CHECK(service.call("PUT", "/v1/quota", core_of_7).etag == service.call("GET", "/v1/quota").etag);
}

TEST_CASE(
    "in a batch, a failure of the store is reported in the place of each operation that it "
    "affects") {
  Service service;
  service.commit("a");
  service.store.fail_appends(1);
  const HttpResponse response = service.call("POST", "/v1/batch", R"({"operations":[
      {"op":"get","install_id":"a"},
      {"op":"commit","install_id":"a","backend":"gemini","tier":"core"},
      {"op":"get","install_id":"a"}]})");
  CHECK(response.status == 200);
  const std::string& body = response.body;
  CHECK(body.find("\"status\":200") < body.find("\"status\":503"));
  CHECK(body.find("\"status\":503") < body.rfind("\"status\":503"));
}

const std::vector<std::string> reads{"/v1/installs/a",       "/v1/installs/a/entries",
                                     "/v1/installs/a/actor", "/v1/installs",
                                     "/v1/snapshot",         "/v1/installs?tier=core"};

TEST_CASE("a read that fails in the store is 503, and does not claim an effect") {
  Service service;
  service.store.break_reads();
  for (const std::string_view method : {"GET", "HEAD"}) {
    for (const std::string& target : reads) {
      const HttpResponse response = service.call(method, target);
      check_problem(response, 503, "storage_unavailable");
      check_tells(response.body, {R"("title":"The store cannot be read now")"});
      CHECK(response.body.find("effect") == std::string::npos);
    }
  }
  check_tells(service.call("PUT", "/v1/installs/a").body, {"may have taken effect"});
  check_tells(service.call("POST", "/v1/installs/a/plan").body, {"may have taken effect"});
}

TEST_CASE("a read that is not answered in time does not claim an effect") {
  Service service{{.answer_timeout = 20ms}};
  REQUIRE(in_the_end([&] { return service.commit("a"); }).status == 200);
  service.store.hold_appends();
  check_tells(service.commit("a").body, {"may have taken effect"});
  check_tells(service.call("GET", "/v1/installs/a").body, {"cannot be read now", "in time"});
  service.store.release_appends();
  service.store.block();
  check_tells(service.call("GET", "/v1/installs").body, {"cannot be read now", "in time"});
  service.store.unblock();
}

TEST_CASE("in a batch, a get that fails in the store does not claim an effect") {
  Service service;
  service.store.break_reads();
  const std::string body = service
                               .call("POST", "/v1/batch", R"({"operations":[
      {"op":"get","install_id":"a"},{"op":"create","install_id":"b"}]})")
                               .body;
  CHECK(body.find("cannot be read now") < body.find("may have taken effect"));
  CHECK(body.find("may have taken effect") != std::string::npos);
}

TEST_CASE("a damaged install is reported as damaged, and others are unaffected") {
  Service service;
  service.store.damage("a/b");
  for (const std::string_view target :
       {"/v1/installs/a%2Fb", "/v1/installs/a%2Fb/entries", "/v1/installs/a%2Fb/actor",
        "/v1/installs", "/v1/snapshot"}) {
    const auto before = service.figures().damaged_installs.load();
    const HttpResponse response = service.call("GET", target);
    check_problem(response, 500, "storage_damaged");
    check_tells(response.body, {R"(\"a/b\")", "creditsctl check", "backup"});
    CHECK(service.figures().damaged_installs == before + 1);
  }
  check_problem(service.commit("a%2Fb"), 500, "storage_damaged");
  CHECK(service.commit("c").status == 200);
}

TEST_CASE("damage found among entries or in mid-snapshot is counted") {
  Service service;
  service.store.damage_entries("a");
  check_problem(service.call("GET", "/v1/installs/a/entries"), 404, "unknown_install");
  CHECK(service.figures().damaged_installs == 0);
  service.commit("b");
  service.store.damage_entries("b");
  check_problem(service.call("GET", "/v1/installs/b/entries"), 500, "storage_damaged");
  CHECK(service.figures().damaged_installs == 1);
  service.store.damage_rows_of_snapshots();
  const HttpResponse snapshot = service.call("GET", "/v1/snapshot");
  std::string chunk;
  CHECK(kind_thrown_by([&] { snapshot.next_chunk(chunk); }) ==
        persistence::StoreErrorKind::damaged);
  CHECK(service.figures().damaged_installs == 2);
}

TEST_CASE("in a batch, a damaged install is reported in its place") {
  Service service;
  service.store.damage("an-install-with-a-name-that-is-long");
  const HttpResponse response = service.call("POST", "/v1/batch", R"({"operations":[
      {"op":"create","install_id":"a"},
      {"op":"commit","install_id":"an-install-with-a-name-that-is-long","backend":"gemini","tier":"core"},
      {"op":"create","install_id":"c"}]})");
  CHECK(response.status == 200);
  const std::string& body = response.body;
  check_tells(body, {R"(install \"an-install-with-a-name-that-is-long\")", "storage_damaged"});
  CHECK(body.find("\"status\":201") < body.find("\"status\":500"));
  CHECK(body.find("\"status\":500") < body.rfind("\"status\":201"));
}

TEST_CASE("figures of trouble are in the metrics and the stats") {
  Service service;
  service.figures().checkpoint_failures = 11;
  service.figures().busy_installs = 12;
  service.figures().damaged_installs = 13;
  service.figures().went_back = 14;
  service.figures().log_lines_dropped = 15;
  check_tells(service.call("GET", "/metrics").body,
              {"\ncredits_checkpoint_failures_total 11\n", "\ncredits_busy_installs_total 12\n",
               "\ncredits_damaged_installs_total 13\n", "\ncredits_database_went_back_total 14\n",
               "\ncredits_log_lines_dropped_total 15\n"});
  check_tells(service.call("GET", "/v1/stats").body,
              {R"("checkpoint_failures_total":11)", R"("busy_installs_total":12)",
               R"("damaged_installs_total":13)", R"("went_back_total":14)",
               R"("log":{"lines_dropped_total":15})"});
}

TEST_CASE("the store is down as long as any part of it is in trouble") {
  Service service;
  using Part = actors::StoreHealth::Part;
  for (const Part part : {Part::reach, Part::write, Part::checkpoint}) {
    service.health().failed(part, "fails on command");
    check_problem(service.call("GET", "/readyz"), 503, "storage_unavailable");
    check_tells(service.call("GET", "/readyz").body, {"fails on command", "rejects writes"});
    check_tells(service.call("GET", "/metrics").body, {"\ncredits_store_up 0\n"});
    check_tells(service.call("GET", "/v1/stats").body, {R"("trouble":"fails on command")"});
    service.health().worked(part);
    CHECK(service.call("GET", "/readyz").status == 200);
    check_tells(service.call("GET", "/metrics").body, {"\ncredits_store_up 1\n"});
  }
}

TEST_CASE("a quota that cannot be written is not put in force") {
  Service service;
  std::filesystem::remove_all(service.quota_path().parent_path());
  const std::string before = service.call("GET", "/v1/quota").body;
  check_problem(service.call("PUT", "/v1/quota", R"({"core":{"lifetime":1}})"), 503,
                "storage_unavailable");
  CHECK(service.call("GET", "/v1/quota").body == before);
}

TEST_CASE("an unknown path, method or install is named") {
  Service service;
  check_problem(service.call("GET", "/v1/nothing"), 404, "not_found");
  const auto response = service.call("DELETE", "/v1/quota");
  check_problem(response, 405, "method_not_allowed");
  CHECK(header_of(response, "Allow") == "GET, HEAD, PUT");
  check_problem(service.call("GET", "/v1/installs/%zz"), 400, "invalid_install_id");
  check_problem(service.call("GET", "/v1/installs/"), 400, "invalid_install_id");
  const auto unknown = service.call("GET", "/v1/installs/who");
  check_problem(unknown, 404, "unknown_install");
  check_tells(unknown.body, {"who"});
}

}  // namespace
}  // namespace credits::http
