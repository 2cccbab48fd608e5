#include "http/api/operators.hpp"

#include <charconv>
#include <future>
#include <limits>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "actors/base/text.hpp"
#include "actors/import.hpp"
#include "actors/judge.hpp"
#include "http/api/answer.hpp"
#include "http/api/metrics.hpp"
#include "http/api/stats.hpp"
#include "http/api/target.hpp"
#include "http/codec/identifiers.hpp"
#include "http/codec/ledger_file.hpp"
#include "http/codec/names.hpp"
#include "http/codec/quota.hpp"
#include "http/codec/response.hpp"

namespace credits::http {

namespace {

constexpr std::uint64_t page_limit_default = 100;
constexpr std::uint64_t page_limit_max = 1'000;
constexpr std::size_t snapshot_chunk_bytes = 64 * 1024;

// The deadline of a request to an actor, which does not begin a request that nobody waits for.
actors::SteadyTime deadline_in(std::chrono::milliseconds time) {
  return std::chrono::steady_clock::now() + time;
}

HttpResponse answer(std::string body) { return {200, "application/json", std::move(body)}; }

std::uint64_t integer_of(const QueryParameters& parameters, const std::string& name,
                         std::uint64_t fallback, std::uint64_t min, std::uint64_t max) {
  const auto found = parameters.find(name);
  if (found == parameters.end()) return fallback;
  const std::string& text = found->second;
  std::uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [parsed_to, error] = std::from_chars(text.data(), end, value);
  if (text.empty() || error != std::errc{} || parsed_to != end || value < min || value > max) {
    throw ProblemError{invalid_request(
        name,
        name + " must be an integer from " + std::to_string(min) + " to " + std::to_string(max))};
  }
  return value;
}

std::string text_of(const QueryParameters& parameters, std::string_view name) {
  const auto found = parameters.find(name);
  return found == parameters.end() ? std::string{} : found->second;
}

void refuse_parameter_if(const std::optional<std::string>& fault, const char* name) {
  if (fault) throw ProblemError{invalid_request(name, *fault)};
}

std::string id_bound_of(const QueryParameters& parameters, const char* name) {
  std::string bound = text_of(parameters, name);
  refuse_parameter_if(fault_of_id_bound(bound, name), name);
  return bound;
}

std::optional<std::string> tier_of(const QueryParameters& parameters) {
  if (!parameters.contains("tier")) return std::nullopt;
  std::string tier = text_of(parameters, "tier");
  refuse_parameter_if(codec::fault_of_tier(tier), "tier");
  return tier;
}

std::string etag_of(const ledger::Quota& quota) { return strong_etag_of(codec::encode(quota)); }

HttpResponse answer_quota(const ledger::Quota& quota) {
  HttpResponse response = answer(codec::encode(quota));
  response.etag = strong_etag_of(response.body);
  return response;
}

TagList tags_of(const char* header, const std::vector<std::string_view>& values) {
  const auto parsed = parse_tag_list(values);
  if (parsed) return *parsed;
  std::string sent;
  for (const std::string_view value : values) {
    sent.append(sent.empty() ? "" : ", ").append(value);
  }
  throw ProblemError{bad_request(std::string{header} +
                                 " must be * or a list of entity tags, each in double "
                                 "quotes; it is: " +
                                 base::printable(sent))};
}

// The request's If-Match; `*` if it has none.
TagList if_match_of(const HttpRequest& request) {
  if (request.if_match.empty()) return {true, {}};
  return tags_of("If-Match", request.if_match);
}

// The request's If-None-Match; without tags if it has none.
TagList if_none_match_of(const HttpRequest& request) {
  if (request.if_none_match.empty()) return {};
  return tags_of("If-None-Match", request.if_none_match);
}

// A question to an actor. It occupies its slot until the actor answers or drops it: longer than
// anyone waits, if the store hangs.
template <class Result>
class Question {
 public:
  explicit Question(InFlight slot)
      : slot_{std::make_shared<std::optional<InFlight>>(std::move(slot))},
        pending_{std::make_shared<Pending>(Pending{slot_, {}})},
        answer_{pending_->promise.get_future()} {}

  // The promise for the actor's message. Call once.
  actors::Promise<Result> promise() {
    auto* const promise = &pending_->promise;
    return {std::exchange(pending_, nullptr), promise};
  }

  // Throws the problem that `unavailable` makes if the answer takes longer than `timeout`.
  Result wait_for_answer(std::chrono::milliseconds timeout, Problem (*unavailable)(std::string)) {
    if (answer_.wait_for(timeout) != std::future_status::ready) {
      throw ProblemError{unavailable("there was no answer in time")};
    }
    slot_->reset();  // here, because the actor may keep its message a moment longer
    return answer_.get();
  }

 private:
  struct Pending {
    std::shared_ptr<std::optional<InFlight>> slot;
    std::promise<Result> promise;
  };

  std::shared_ptr<std::optional<InFlight>> slot_;
  std::shared_ptr<Pending> pending_;
  std::future<Result> answer_;
};

// Turns rows into the text of the JSON ledger, piece by piece.
class LedgerText {
 public:
  // `slot` is occupied as long as the cursor exists, because it burdens the store.
  LedgerText(std::shared_ptr<persistence::RowCursor> cursor, InFlight slot)
      : slot_{std::make_shared<InFlight>(std::move(slot))}, cursor_{std::move(cursor)} {}

  bool operator()(std::string& chunk) {
    if (std::exchange(is_first_, false)) chunk = R"({"rows":{)";
    while (chunk.size() < snapshot_chunk_bytes) {
      const auto row = cursor_->next();
      if (!row) {
        chunk += "}}";
        return false;
      }
      if (std::exchange(has_rows_, true)) chunk += ',';
      chunk += codec::encode_ledger_member(*row);
    }
    return true;
  }

 private:
  std::shared_ptr<InFlight> slot_;
  std::shared_ptr<persistence::RowCursor> cursor_;
  bool is_first_ = true;
  bool has_rows_ = false;
};

std::vector<ledger::Row> rows_of(std::string_view body, ledger::Time now) {
  try {
    auto rows = codec::decode_ledger_file(body, now);
    if (rows) return *std::move(rows);
    throw ProblemError{
        invalid_request("rows", "the file has no rows; a ledger file reads {\"rows\":{…}}")};
  } catch (const codec::LedgerSyntaxError& error) {
    throw ProblemError{invalid_json(error.what())};
  } catch (const codec::LedgerFileError& error) {
    throw ProblemError{invalid_request(std::nullopt, error.what())};
  }
}

}  // namespace

InFlight Operators::slot_for_call() const {
  InFlight slot{calls_};
  if (slot.count() > limits_.calls_max) shed("too many calls wait for the store");
  return slot;
}

std::unique_ptr<InFlight> Operators::slot_for_import() const {
  auto slot = std::make_unique<InFlight>(imports_);
  return slot->count() > 1 ? nullptr : std::move(slot);
}

InFlight Operators::slot_for_snapshot() const {
  InFlight slot{snapshots_};
  if (slot.count() > limits_.snapshots_max) shed("too many snapshots are being sent");
  return slot;
}

void Operators::shed(std::string reason) const {
  ++context_.figures.server.shed;
  throw ProblemError{overloaded(std::move(reason))};
}

HttpResponse Operators::list_installs(std::string_view query) const {
  const auto parameters = decode_query(query, {"limit", "after", "tier", "prefix"});
  persistence::ListQuery list;
  const std::size_t limit = integer_of(parameters, "limit", page_limit_default, 1, page_limit_max);
  list.limit = limit + 1;  // one more, to know whether there is a next page
  list.after = id_bound_of(parameters, "after");
  list.prefix = id_bound_of(parameters, "prefix");
  list.tier = tier_of(parameters);

  Question<std::vector<ledger::Row>> question{slot_for_call()};
  context_.gateway.list(actors::ListRequest{std::move(list), question.promise(),
                                            deadline_in(limits_.answer_timeout)});
  auto rows = question.wait_for_answer(limits_.answer_timeout, storage_unreadable);

  codec::InstallPage page;
  if (rows.size() > limit) {
    rows.resize(limit);
    page.next_after = rows.back().install_id;
  }
  const auto quota = context_.environment.quota.get();
  const ledger::Time now = context_.environment.now();
  for (const ledger::Row& row : rows) page.installs.push_back(actors::view_of(row, *quota, now));
  return answer(codec::encode(page));
}

HttpResponse Operators::list_entries(const std::string& install_id, std::string_view query) const {
  constexpr auto any_version = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  const auto parameters = decode_query(query, {"limit", "before"});
  const std::size_t limit = integer_of(parameters, "limit", page_limit_default, 1, page_limit_max);
  const std::uint64_t before = integer_of(parameters, "before", any_version, 1, any_version);

  Question<std::optional<std::vector<ledger::Entry>>> question{slot_for_call()};
  context_.gateway.entries(actors::EntriesRequest{install_id, before, limit + 1, question.promise(),
                                                  deadline_in(limits_.answer_timeout)});
  auto entries = question.wait_for_answer(limits_.answer_timeout, storage_unreadable);
  if (!entries) return to_response(unknown_install(install_id));

  codec::EntryPage page{*std::move(entries), std::nullopt};
  if (page.entries.size() > limit) {
    page.entries.resize(limit);
    page.next_before = page.entries.back().version;
  }
  return answer(codec::encode(page));
}

HttpResponse Operators::snapshot() const {
  InFlight slot = slot_for_snapshot();
  Question<std::shared_ptr<persistence::RowCursor>> question{slot_for_call()};
  context_.gateway.snapshot(
      actors::SnapshotRequest{question.promise(), deadline_in(limits_.answer_timeout)});
  auto cursor = question.wait_for_answer(limits_.answer_timeout, storage_unreadable);
  HttpResponse response;
  response.next_chunk = LedgerText{std::move(cursor), std::move(slot)};
  response.broken_off = [this](std::string_view why) {
    context_.environment.report(
        {"snapshot_broken_off", "snapshot broken off: " + std::string{why}});
  };
  return response;
}

HttpResponse Operators::import_ledger(std::string_view body, std::unique_ptr<InFlight> slot) const {
  if (!slot) shed(import_under_way);
  const auto& environment = context_.environment;
  Question<actors::Imported> question{std::move(*slot)};
  context_.gateway.import(
      actors::ImportRequest{actors::import_of(rows_of(body, environment.now()), environment),
                            question.promise(), deadline_in(limits_.import_timeout)});
  const auto imported = question.wait_for_answer(limits_.import_timeout, storage_unavailable);
  if (!imported.was_empty) return to_response(ledger_not_empty(imported.installs));
  environment.report({"import", "imported " + std::to_string(imported.installs) + " installs",
                      actors::Severity::info});
  return answer(R"({"imported":)" + std::to_string(imported.installs) + "}");
}

HttpResponse Operators::actor(const std::string& install_id) const {
  Question<actors::InstallReport> question{slot_for_call()};
  context_.gateway.report(
      actors::ReportRequest{install_id, question.promise(), deadline_in(limits_.answer_timeout)});
  const auto report = question.wait_for_answer(limits_.answer_timeout, storage_unreadable);
  if (!report.row) return to_response(unknown_install(install_id));
  return answer(codec::encode(*report.row, report.stats.get(), context_.environment.now()));
}

HttpResponse Operators::stats() const {
  return answer(codec::encode_stats(context_, std::chrono::steady_clock::now()));
}

HttpResponse Operators::metrics() const {
  return {200, "text/plain; version=0.0.4; charset=utf-8",
          metrics_text(context_, std::chrono::steady_clock::now())};
}

HttpResponse Operators::quota(const HttpRequest& request) const {
  HttpResponse response = answer_quota(context_.quota.in_force());
  if (if_match_of(request).names(response.etag)) return response;
  return to_response(precondition_failed("the quota in force is not one that If-Match names"));
}

// Preconditions are evaluated last, just before the quota would be replaced: a request that fails
// without them fails the same way with them (RFC 9110, sections 13.2.1 and 13.2.2).
HttpResponse Operators::put_quota(const HttpRequest& request) const {
  try {
    const auto quota = codec::decode_quota(request.body.empty() ? "{}" : request.body);
    HttpResponse response = replace_quota(quota, if_match_of(request), if_none_match_of(request));
    // A tag would claim that the stored bytes are those that the client sent (RFC 9110, section
    // 9.3.4).
    if (response.body != request.body) response.etag.clear();
    return response;
  } catch (const codec::QuotaError& error) {
    if (error.is_syntax()) return to_response(invalid_json(error.what()));
    return to_response(invalid_request(error.field(), error.what()));
  } catch (const QuotaStorageError& error) {
    context_.environment.report({"quota_write_failed", error.what()});
    return to_response(storage_unavailable(
        "the quota could not be written; GET /v1/quota shows the one in force"));
  }
}

HttpResponse Operators::replace_quota(const ledger::Quota& quota, const TagList& if_match,
                                      const TagList& if_none_match) const {
  if (if_none_match.is_any) {
    return to_response(precondition_failed("If-None-Match is *, and there is always a quota"));
  }
  if (if_match.is_any && if_none_match.tags.empty()) {
    context_.quota.replace(quota);
    return answer_quota(quota);
  }
  if (!if_match.is_any && !if_match.has_strong()) {
    return to_response(precondition_failed(
        "If-Match has only weak tags, which match nothing; send the ETag of GET /v1/quota, "
        "unchanged"));
  }
  bool is_known = false;  // to the client, by If-None-Match
  const auto condition = [&](const ledger::Quota& stored) {
    const std::string etag = etag_of(stored);
    is_known = if_match.names(etag) && if_none_match.names_weakly(etag);
    return if_match.names(etag) && !is_known;
  };
  switch (context_.quota.replace_if(condition, quota)) {
    case Replacement::done:
      return answer_quota(quota);
    case Replacement::refused_until_reload:
      if (is_known) break;
      return to_response(precondition_failed(
          "somebody else has changed the quota's file since the quota was read, and the change is "
          "not in force yet; send the server SIGHUP, then read the quota again"));
    case Replacement::refused_and_adopted:
      context_.environment.report(
          {"quota_changed", "another node has replaced the quota", actors::Severity::info});
      break;
    case Replacement::refused:
      break;
  }
  return to_response(precondition_failed(
      is_known ? "the stored quota is one that If-None-Match names"
               : "somebody else has changed the quota since it was read; read it again with GET "
                 "/v1/quota"));
}

HttpResponse Operators::readyz() const {
  const auto now = std::chrono::steady_clock::now();
  if (const auto trouble = actors::store_trouble(context_.environment, now)) {
    return to_response(storage_not_writable(*trouble));
  }
  return answer(R"({"status":"ready"})");
}

}  // namespace credits::http
