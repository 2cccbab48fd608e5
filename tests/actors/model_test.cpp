// Compares the actors with a model of the contract: random lives of one or two installs, in which
// the same operations run on both and every answer is compared, verbatim if it is kept. Caps and
// TTLs are small, keys and reservations are used again and again, the clock jumps and goes back,
// the quota changes, the store fails, installs are passivated and the ledger restarts.
//
// Sometimes the outcome is open: a write may have been stored or not, a replay key older than a day
// may be forgotten or not. Then the model (model.hpp) continues in several versions, and later
// answers and the store's rows rule out all but one.
//
// A failing seed is printed and can be run again: CREDITS_SEED=17 actors_test "a model*".
// CREDITS_SIMULATION_STEPS=1000000 runs more steps.
#include "tests/actors/model.hpp"

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <iostream>
#include <limits>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/actors/dice.hpp"
#include "tests/actors/observed_store.hpp"
#include "tests/actors/spending.hpp"
#include "tests/actors/world.hpp"
#include "tests/catch.hpp"

namespace credits::actors {
namespace {

using namespace credits::tests;
using namespace std::chrono_literals;
using ledger::Backend;
using ledger::Counter;
using ledger::format;

constexpr int steps_of_a_life = 150;
constexpr int steps_by_default = 150'000;
constexpr std::size_t operations_wanted = 10'000;
constexpr std::size_t operations_told = 12;
constexpr int messages_of_a_step = 10'000;

// ---- Readable forms, which also serve as the canonical form of requests

std::string spell(Backend backend) { return backend == Backend::gemini ? "gemini" : "hardware"; }
std::string spell(Counter counter) { return counter == Counter::lifetime ? "lifetime" : "monthly"; }
std::string spell(const std::string& text) { return text; }
std::string spell(bool value) { return value ? "true" : "false"; }
std::string spell(std::int64_t number) { return std::to_string(number); }

template <class Value>
std::string spell(const std::optional<Value>& value) {
  return value ? spell(*value) : "-";
}

struct RequestSpelling {
  std::string operator()(const Get&) const { return "get"; }
  std::string operator()(const Create&) const { return "create"; }
  std::string operator()(const Plan& wish) const {
    return "plan tier=" + spell(wish.tier) + " hardware=" + spell(wish.has_hardware) +
           " credits=" + spell(wish.credits);
  }
  std::string operator()(const Commit& debit) const {
    return "commit tier=" + debit.tier + " backend=" + spell(debit.backend) +
           " credits=" + spell(debit.credits);
  }
  std::string operator()(const Reserve& wish) const {
    return "reserve tier=" + spell(wish.tier) + " hardware=" + spell(wish.has_hardware) +
           " credits=" + spell(wish.credits) + " ttl=" + std::to_string(wish.ttl.count());
  }
  std::string operator()(const Settle& wish) const {
    return "settle " + wish.reservation_id + " backend=" + spell(wish.backend) +
           " credits=" + spell(wish.credits);
  }
  std::string operator()(const Release& wish) const { return "release " + wish.reservation_id; }
};

std::string spell(const Operation& operation) {
  const auto& key = operation.idempotency_key;
  return operation.install_id + ": " + std::visit(RequestSpelling{}, operation.action) +
         (key ? " key=" + *key : "");
}

std::string spell(const ledger::Reservation& held) {
  return held.id + "{" + held.tier + " " + spell(held.backend) + " " + spell(held.counter) + " " +
         spell(held.credits) + " of " + format(held.month) + " until " + format(held.expires_at) +
         "}";
}

std::string spell(const ledger::Row& row) {
  std::string text = "v" + std::to_string(row.version) + " " + row.tier_snapshot + " lifetime " +
                     spell(row.lifetime_consumed) + "/" + spell(row.lifetime_gemini_consumed) +
                     " " + format(row.month) + " " + spell(row.monthly_consumed) + "/" +
                     spell(row.monthly_gemini_consumed) + " active " + format(row.last_active_at);
  return text;
}

std::string spell_with_reservations(const ledger::Row& row) {
  std::string text = spell(row);
  for (const auto& reservation : row.reservations) text += " " + spell(reservation);
  return text;
}

std::string spell_capped(const ledger::Balance& balance) {
  return "balance " + tests::spell(balance) + " " + spell(balance.capped);
}

constexpr std::string_view refusals[]{"unknown_install",       "unknown_tier",
                                      "out_of_credits",        "gemini_cap_exceeded_no_hardware",
                                      "too_many_reservations", "unknown_reservation",
                                      "reservation_expired",   "reservation_released",
                                      "reservation_settled",   "credits_exceed_hold",
                                      "gemini_cap_exceeded",   "idempotency_key_reused"};

// Contains everything that a client sees of an answer: equal strings are equal answers.
struct AnswerSpelling {
  std::string operator()(const InstallView& view) const {
    return (view.created ? "created " : "install ") + spell(view.row) + " " +
           spell_capped(view.balance);
  }
  std::string operator()(const PlanView& view) const {
    const auto& denial = view.plan.denial;
    return "plan " + spell(view.plan.backend) + " " +
           (denial ? std::to_string(static_cast<int>(*denial)) : "allowed") + " " +
           spell_capped(view.balance);
  }
  std::string operator()(const ReservationView& view) const {
    return "reservation " + spell(view.reservation) + " " + spell_capped(view.balance);
  }
  std::string operator()(const Recorded& kept) const {
    return (kept.replayed ? "replayed " : "recorded ") + std::to_string(kept.status) + " [" +
           kept.body + "]";
  }
  std::string operator()(const Refused& refused) const {
    return "refused " + std::string{refusals[static_cast<std::size_t>(refused.reason)]};
  }
  std::string operator()(const Unavailable&) const { return "unavailable"; }
  std::string operator()(const Damaged&) const { return "damaged"; }
};

std::string spell(const Answer& answer) { return std::visit(AnswerSpelling{}, answer); }

// An entry as the audit trail shows it to operators.
std::string spell(const ledger::Entry& entry) {
  static constexpr std::string_view kinds[]{"create", "import",  "commit", "reserve",
                                            "settle", "release", "expire"};
  std::string text = std::to_string(entry.version) + " " + format(entry.at) + " " +
                     std::string{kinds[static_cast<std::size_t>(entry.kind)]} + " " + entry.tier +
                     " " + spell(entry.backend) + " " + spell(entry.credits);
  if (entry.kind != ledger::EntryKind::create) text += " " + spell(entry.counter);
  text += " " + format(entry.month) + " key=" + spell(entry.idempotency_key) +
          " reservation=" + spell(entry.reservation_id);
  if (entry.expires_at) text += " until " + format(*entry.expires_at);
  return text;
}

// ---- The events of a life

using Dice = tests::Dice<std::mt19937>;

// Makes up operations that relate to earlier ones.
class Wishes {
 public:
  Wishes(Dice& dice, std::vector<std::string> ids) : dice_{dice}, ids_{std::move(ids)} {}

  // The reservation with that id now exists.
  void know_reservation(const std::string& install_id, const std::string& reservation_id) {
    reservations_[install_id].push_back(reservation_id);
  }

  Operation next() {
    Operation operation =
        !memorable_.empty() && dice_.chance(22) ? again(dice_.recent(memorable_, 12)) : fresh();
    operation.request = std::visit(RequestSpelling{}, operation.action);
    const bool is_settle = std::holds_alternative<Settle>(operation.action);
    if (operation.idempotency_key || is_settle) memorable_.push_back(operation);
    return operation;
  }

 private:
  Operation fresh() {
    Operation operation{dice_.one_of(ids_), Get{}};
    const std::string& id = operation.install_id;
    switch (dice_.pick(0, 21)) {
      case 0:
      case 1:
        break;
      case 2:
        operation.action = Create{};
        break;
      case 3:
      case 4:
        operation.action = Plan{tier(), hardware(), credits()};
        break;
      case 5:
      case 6:
      case 7:
      case 8:
        operation.action = Commit{backend(), tier().value_or("pro"), credits()};
        operation.idempotency_key = key(id);
        break;
      case 9:
      case 10:
      case 11:
      case 12:
      case 13:
      case 14:
        operation.action = Reserve{tier(), hardware(), credits(), ttl()};
        operation.idempotency_key = key(id);
        break;
      case 15:
      case 16:
      case 17:
      case 18:
      case 19:
        operation.action = settle(id);
        break;
      default:
        operation.action = Release{reservation(id)};
        break;
    }
    return operation;
  }

  // An earlier request again, the same or slightly changed.
  Operation again(Operation operation) {
    if (dice_.chance(60)) return operation;
    if (auto* debit = std::get_if<Commit>(&operation.action)) {
      debit->credits = credits();
    } else if (auto* wish = std::get_if<Reserve>(&operation.action)) {
      if (dice_.chance(50)) {
        wish->tier = tier();
      } else {
        operation.action = Commit{backend(), wish->tier.value_or("core"), wish->credits};
      }
    } else if (auto* settle = std::get_if<Settle>(&operation.action)) {
      if (dice_.chance(40)) {
        operation.action = Release{settle->reservation_id};
      } else if (dice_.chance(60)) {
        operation.idempotency_key = settle->reservation_id;
        operation.action = Commit{backend(), "pro", settle->credits.value_or(1) + 1};
      } else {
        settle->credits = dice_.pick(0, 3);
      }
    }
    return operation;
  }

  std::optional<std::string> tier() {
    static const std::string tiers[]{"core", "core", "core", "pro", "pro", "pro", "max", "trial"};
    return dice_.chance(30) ? std::nullopt : std::optional{dice_.one_of(tiers)};
  }

  std::optional<bool> hardware() {
    return dice_.chance(40) ? std::nullopt : std::optional{dice_.chance(50)};
  }

  Backend backend() { return dice_.chance(50) ? Backend::gemini : Backend::hardware; }
  std::int64_t credits() { return dice_.chance(85) ? dice_.pick(1, 4) : dice_.pick(5, 12); }

  std::chrono::seconds ttl() {
    if (dice_.chance(15)) return std::chrono::seconds{dice_.chance(50) ? 600 : 86'400};
    return std::chrono::seconds{dice_.pick(1, 20)};
  }

  std::optional<std::string> key(const std::string& id) {
    if (dice_.chance(45)) return std::nullopt;
    if (dice_.chance(30)) return reservation(id);
    return "k" + std::to_string(dice_.pick(0, 9));
  }

  Settle settle(const std::string& id) {
    Settle wish{reservation(id), {}, {}};
    if (dice_.chance(60)) wish.backend = backend();
    if (dice_.chance(40)) wish.credits = dice_.pick(0, 5);
    return wish;
  }

  // The id of a recent reservation, of any one, of another install's, or of none.
  std::string reservation(const std::string& id) {
    const auto& owner = dice_.chance(3) ? dice_.one_of(ids_) : id;
    const auto& known = reservations_[owner];
    if (known.empty() || dice_.chance(3)) return "never-seen-" + std::to_string(dice_.pick(0, 2));
    return dice_.chance(80) ? dice_.recent(known, 5) : dice_.one_of(known);
  }

  Dice& dice_;
  std::vector<std::string> ids_;
  std::map<std::string, std::vector<std::string>> reservations_;
  std::vector<Operation> memorable_;
};

ledger::Quota random_quota(Dice& dice) {
  static constexpr int limits[]{0, 6, 15, 40, 40, 90, 90, 200};
  const auto limit = [&] { return std::optional<std::int64_t>{dice.one_of(limits)}; };
  const auto cap = [&] { return dice.chance(25) ? std::nullopt : limit(); };
  const auto counter = [&](Counter usual) {
    const Counter other = usual == Counter::lifetime ? Counter::monthly : Counter::lifetime;
    return dice.chance(85) ? usual : other;
  };
  ledger::Quota quota{{"core", {counter(Counter::lifetime), limit(), cap()}}};
  if (dice.chance(85)) quota["pro"] = {counter(Counter::monthly), limit(), cap()};
  if (dice.chance(85)) quota["max"] = {Counter::monthly, std::nullopt, std::nullopt};
  return quota;
}

// ---- A life

// The actors and the model disagree.
class Disagreement : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class Life {
 public:
  explicit Life(std::uint32_t seed) : dice_{seed}, wishes_{dice_, ids()} {
    tuning_.live_installs_max = 3;
    tuning_.keep_entries = std::chrono::hours{24 * 36'500};
    if (dice_.chance(50)) tuning_.replay_keys_known_max = 3;
    if (dice_.chance(30)) tuning_.batch_mutations_max = 1;
    has_hardware_ = dice_.chance(50);
    for (const auto& id : ids()) installs_.emplace(id, Install{{Model{id}}, {}, 0});
    start();
  }

  // Throws Disagreement.
  void step() {
    switch (dice_.pick(0, 39)) {
      case 0:
        return restart();
      case 1:
        return world_->pass(std::chrono::minutes{dice_.pick(1, 12)});
      case 2:
        return change_quota();
      case 3:
      case 4:
      case 5:
        return compare(next_operations(dice_.pick(2, 5)));
      case 6:
      case 7:
        return operate_while_store_fails();
      default:
        if (dice_.chance(40)) move_clock();
        return compare(next_operations(1));
    }
  }

  // For people: the last operations and their answers.
  std::string told() const {
    std::ostringstream text;
    for (const auto& line : told_) text << "  " << line << "\n";
    return text.str();
  }

  std::size_t operations() const { return operations_; }

 private:
  using Models = std::vector<Model>;

  struct Install {
    Models models;  // more than one if the outcome is open
    Spending spending;
    std::uint64_t entries_seen = 0;
  };

  struct Asked {
    Operation operation;
    PendingAnswer pending;
  };

  struct Given {
    Operation operation;
    Answer answer;
  };

  static bool is_unavailable(const Answer& answer) {
    return std::holds_alternative<Unavailable>(answer);
  }

  static std::vector<std::string> ids() { return {"a", "b"}; }

  void start() {
    const ledger::Time now = world_ ? world_->now : november;
    world_.reset();
    world_ = std::make_unique<World>(store_, tuning_);
    world_->now = now;
    world_->environment.has_hardware = has_hardware_;
    world_->environment.quota.set(quota_);
    world_->environment.new_mutation_id = [this] { return ledger::MutationId{7, ++mutations_}; };
  }

  void restart() {
    note("restart");
    start();
  }

  void change_quota() {
    quota_ = dice_.chance(60) ? random_quota(dice_) : usual_quota();
    world_->environment.quota.set(quota_);
    std::string text = "quota";
    for (const auto& [tier, limits] : quota_) {
      text += " " + tier + " " + spell(limits.counter) + " " + spell(limits.limit) + "/" +
              spell(limits.gemini_cap);
    }
    note(text);
  }

  static ledger::Quota usual_quota() {
    return {{"core", {Counter::lifetime, 40, 20}},
            {"pro", {Counter::monthly, 25, 12}},
            {"max", {Counter::monthly, std::nullopt, std::nullopt}}};
  }

  void move_clock() {
    world_->now = later();
    for (auto& [id, install] : installs_)
      for (auto& model : install.models) model.clock_shows(world_->now);
    note("clock " + format(world_->now));
  }

  ledger::Time later() {
    const ledger::Time now = world_->now;
    switch (dice_.pick(0, 19)) {
      case 0:
      case 11:
        return around_next_month(now);
      case 1:
        return now + std::chrono::hours{dice_.pick(23, 26)};
      case 2:
        return now + std::chrono::hours{24 * dice_.pick(1, 40)};
      case 3:
        return now - std::chrono::seconds{dice_.pick(1, 30)};
      case 4:
        return now - std::chrono::hours{dice_.pick(1, 24 * 35)};
      case 5:
      case 6:
      case 7:
      case 8:
        return end_of_a_reservation(now);
      case 9:
      case 10:
        return now + std::chrono::seconds{dice_.pick(1, 20)};
      default:
        return now + std::chrono::milliseconds{dice_.pick(1, 20)};
    }
  }

  // Often from the last seconds of a month into the next.
  ledger::Time around_next_month(ledger::Time now) {
    const ledger::Time begin = next_month(now);
    if (begin - now > 1min && dice_.chance(70))
      return begin - std::chrono::seconds{dice_.pick(1, 9)};
    return begin + std::chrono::milliseconds{dice_.pick(-1, 1)};
  }

  static ledger::Time next_month(ledger::Time now) {
    const auto month = ledger::month_of(now) + std::chrono::months{1};
    return std::chrono::sys_days{month / std::chrono::day{1}};
  }

  // The millisecond at which one ends, the one before, or the one after.
  ledger::Time end_of_a_reservation(ledger::Time now) {
    const auto& reservations = installs_.at(dice_.one_of(ids())).models.front().row().reservations;
    if (reservations.empty()) return now;
    const auto end = dice_.one_of(reservations).expires_at;
    return end + std::chrono::milliseconds{dice_.pick(-1, 1)};
  }

  void operate_while_store_fails() {
    arm_fault();
    const std::vector<Operation> asked = next_operations(dice_.pick(1, 3));
    compare(asked);
    store_.fail_appends(0);
    store_.fail_loads(0);
    fails_without_storing_ = false;
    if (!was_unavailable_) return;
    if (dice_.chance(50)) restart();
    for (const Operation& operation : asked)
      if (operation.idempotency_key) compare({operation});
  }

  void arm_fault() {
    if (may_store_and_fail()) return;
    const int which = dice_.pick(0, 3);
    if (which < 2) {
      store_.fail_append_after_storing();
      appends_when_armed_ = store_.appends;
      note("the next append will be stored, and fail");
      return;
    }
    const auto times = static_cast<std::size_t>(dice_.pick(1, 2));
    fails_without_storing_ = true;
    if (which == 2) store_.fail_appends(times);
    if (which == 3) store_.fail_loads(times);
    if (which == 3 && dice_.chance(50)) start();
    note(std::to_string(times) + (which == 2 ? " appends" : " loads") + " will fail");
  }

  bool may_store_and_fail() const { return appends_when_armed_.has_value(); }

  std::vector<Operation> next_operations(int count) {
    std::vector<Operation> operations;
    for (int i = 0; i < count; ++i) operations.push_back(wishes_.next());
    return operations;
  }

  // All at once: the answers must be those of one order of the operations.
  void compare(const std::vector<Operation>& operations) {
    std::vector<Asked> asked;
    for (const auto& operation : operations) asked.push_back({operation, world_->send(operation)});
    run_world(operations);
    operations_ += operations.size();
    was_unavailable_ = false;
    std::map<std::string, std::vector<Given>> given;
    for (Asked& each : asked) {
      const Answer answer = answer_of(each.pending);
      note((asked.size() > 1 ? "+ " : "") + spell(each.operation) + "  ->  " + spell(answer));
      if (is_unavailable(answer)) look_at_unavailable();
      given[each.operation.install_id].push_back({each.operation, answer});
    }
    for (const auto& [id, answers] : given) {
      auto& models = installs_.at(id).models;
      models = follow_in_some_order(models, answers);
    }
    for (auto& [id, install] : installs_) compare_with_store(id, install);
    if (may_store_and_fail() && store_.appends > *appends_when_armed_) appends_when_armed_.reset();
  }

  void run_world(const std::vector<Operation>& operations) {
    int messages = 0;
    while (world_->run_once()) {
      if (++messages < messages_of_a_step) continue;
      for (const auto& operation : operations) note("+ " + spell(operation));
      static_cast<void>(world_.release());  // its destructor would not return either
      throw Disagreement{"the actors never finish"};
    }
  }

  static Answer answer_of(PendingAnswer& pending) {
    try {
      if (pending.wait_for(0s) != std::future_status::ready) throw Disagreement{"no answer"};
      return pending.get();
    } catch (const persistence::StoreError& error) {
      return Unavailable{error.what()};
    }
  }

  void look_at_unavailable() {
    was_unavailable_ = true;
    if (!may_store_and_fail() && !fails_without_storing_)
      throw Disagreement{"unavailable, though the store works"};
  }

  // In the order of the requests; but after a failed write, those judged again may come last.
  Models follow_in_some_order(const Models& models, std::vector<Given> answers) {
    const auto failed = [](const Given& given) { return is_unavailable(given.answer); };
    const auto first_failed = std::find_if(answers.begin(), answers.end(), failed);
    if (first_failed == answers.end()) return follow(models, answers);
    Models agreeing = try_to_follow(models, answers);
    std::stable_partition(first_failed, answers.end(), failed);
    for (Model& model : try_to_follow(models, answers)) agreeing.push_back(std::move(model));
    return agreeing.empty() ? follow(models, answers) : agreeing;
  }

  Models try_to_follow(const Models& models, const std::vector<Given>& answers) {
    try {
      return follow(models, answers);
    } catch (const Disagreement&) {
      return {};
    }
  }

  Models follow(Models models, const std::vector<Given>& answers) {
    for (const Given& given : answers) {
      models = is_unavailable(given.answer) ? models_without_answer(models, given.operation)
                                            : models_that_answer(models, given);
    }
    return models;
  }

  // With and without the operation, if the store may have stored it.
  Models models_without_answer(const Models& models, const Operation& operation) {
    Models all = models;
    if (!may_store_and_fail()) return all;
    for (const Model& model : models) {
      for (Model& turn : turns(model, operation)) {
        run(turn, operation);
        all.push_back(std::move(turn));
      }
    }
    return all;
  }

  // The models, in all the turns that they may have taken, that give the same answer.
  Models models_that_answer(const Models& models, const Given& given) {
    const std::string real = spell(given.answer);
    Models agreeing;
    std::string expected;
    for (const Model& model : models) {
      for (Model& turn : turns(model, given.operation)) {
        const std::string answered = spell(run(turn, given.operation));
        if (answered == real) {
          agreeing.push_back(std::move(turn));
        } else {
          expected += "\n    the model: " + answered;
        }
      }
    }
    if (agreeing.empty()) throw Disagreement{"another answer\n    the actors: " + real + expected};
    return agreeing;
  }

  // Replay keys older than a day may be remembered or forgotten.
  static Models turns(const Model& model, const Operation& operation) {
    Models all{model};
    for (const auto& key : model.doubtful_replay_keys(operation)) {
      const std::size_t count = all.size();
      for (std::size_t i = 0; i < count; ++i) {
        Model forgetful = all[i];
        forgetful.forget(key);
        all.push_back(std::move(forgetful));
      }
    }
    return all;
  }

  Answer run(Model& model, const Operation& operation) {
    const std::function<std::string(std::uint64_t)> id_at = [&](std::uint64_t version) {
      const auto entries = store_.entries(operation.install_id, version + 1, 1);
      const bool is_it = !entries.empty() && entries.front().version == version;
      return is_it ? entries.front().reservation_id.value_or("") : std::string{};
    };
    return model.run(operation, {quota_, world_->now, has_hardware_, id_at});
  }

  // Keeps the models that match the store.
  void compare_with_store(const std::string& id, Install& install) {
    const auto stored = store_.row(id);
    const std::uint64_t version = stored ? stored->version : 0;
    const auto entries = entries_since(id, install.entries_seen);
    if (install.entries_seen + entries.size() != version)
      throw Disagreement{"versions and entries of " + id + " differ in number"};
    install.entries_seen = version;
    std::string real = stored ? spell_with_reservations(*stored) : "no row";
    for (const auto& entry : entries) real += "\n      " + spell(entry);
    const std::string expected = keep_models_like(real, install);
    if (install.models.empty())
      throw Disagreement{"another row\n    the store: " + real + expected};
    for (const auto& entry : entries) look_at(id, entry, install);
  }

  static std::string keep_models_like(const std::string& real, Install& install) {
    std::string expected;
    Models agreeing;
    for (Model& model : install.models) {
      std::string shown = model.row().version > 0 ? spell_with_reservations(model.row()) : "no row";
      for (const auto& entry : model.take_trail()) shown += "\n      " + spell(entry);
      if (shown != real) {
        expected += "\n    the model: " + shown;
      } else if (std::find(agreeing.begin(), agreeing.end(), model) == agreeing.end()) {
        agreeing.push_back(std::move(model));
      }
    }
    install.models = std::move(agreeing);
    return expected;
  }

  // Oldest first.
  std::vector<ledger::Entry> entries_since(const std::string& id, std::uint64_t version) {
    auto entries = store_.entries(id, std::numeric_limits<std::uint64_t>::max(), 64);
    std::reverse(entries.begin(), entries.end());
    std::erase_if(entries, [&](const auto& entry) { return entry.version <= version; });
    return entries;
  }

  void look_at(const std::string& id, const ledger::Entry& entry, Install& install) {
    if (entry.kind == ledger::EntryKind::reserve)
      wishes_.know_reservation(id, entry.reservation_id.value());
    const std::string fault = install.spending.add(entry, quota_);
    if (!fault.empty()) throw Disagreement{fault + ": " + id + " " + spell(entry)};
  }

  void note(std::string text) {
    told_.push_back(std::move(text));
    if (told_.size() > operations_told) told_.pop_front();
  }

  Dice dice_;
  Wishes wishes_;
  ObservedStore store_;
  Tuning tuning_ = World::small_tuning();
  std::unique_ptr<World> world_;
  bool has_hardware_ = false;
  ledger::Quota quota_ = usual_quota();
  std::uint64_t mutations_ = 0;
  std::map<std::string, Install> installs_;
  bool fails_without_storing_ = false;
  bool was_unavailable_ = false;  // among the answers to the last operations
  std::optional<std::size_t> appends_when_armed_;
  std::deque<std::string> told_;
  std::size_t operations_ = 0;
};

// ---- Running lives

std::optional<std::uint32_t> number_from(const char* variable) {
  const char* text = std::getenv(variable);
  if (!text) return std::nullopt;
  return static_cast<std::uint32_t>(std::strtoul(text, nullptr, 10));
}

std::vector<std::uint32_t> seeds_to_live() {
  if (const auto seed = number_from("CREDITS_SEED")) return {*seed};
  const auto steps = number_from("CREDITS_SIMULATION_STEPS").value_or(steps_by_default);
  std::vector<std::uint32_t> all(std::max<std::size_t>(1, steps / steps_of_a_life));
  std::iota(all.begin(), all.end(), 1U);
  return all;
}

std::size_t live(std::uint32_t seed) {
  Life life{seed};
  for (int step = 0; step < steps_of_a_life; ++step) {
    try {
      life.step();
    } catch (const Disagreement& disagreement) {
      // On std::cerr, because Catch would break the lines.
      std::cerr << "seed " << seed << ", step " << step << ": " << disagreement.what()
                << "\n  what came before, the newest last:\n"
                << life.told();
      FAIL("run it again: CREDITS_SEED=" << seed << " actors_test \"a model*\"");
    }
  }
  return life.operations();
}

TEST_CASE("a model of the contract and the real actors give the same answers", "[seeds]") {
  std::size_t operations = 0;
  const auto seeds = seeds_to_live();
  for (const std::uint32_t seed : seeds) operations += live(seed);
  const bool is_default_run =
      !number_from("CREDITS_SEED") && !number_from("CREDITS_SIMULATION_STEPS");
  CHECK(operations >= (is_default_run ? operations_wanted : 1));
}

}  // namespace
}  // namespace credits::actors
