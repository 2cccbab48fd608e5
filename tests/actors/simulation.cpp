#include "tests/actors/simulation.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <iterator>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <stdexcept>
#include <utility>
#include <variant>

#include "tests/actors/dice.hpp"
#include "tests/actors/observed_store.hpp"
#include "tests/actors/spending.hpp"
#include "tests/actors/world.hpp"

namespace credits::tests {

namespace {

using namespace std::chrono_literals;
using namespace credits::actors;
using ledger::Entry;
using ledger::EntryKind;

constexpr std::size_t every_append = 1'000'000;
constexpr int recent = 8;
constexpr int moves_of_a_life = 300;
constexpr int messages_max = 100'000;  // beyond, the actors come to no end

class Fault : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

void expect(bool holds, const std::string& otherwise) {
  if (!holds) throw Fault{otherwise};
}

// Small, as each move has one of its own.
using Dice = tests::Dice<std::minstd_rand>;

// An operation as a client sends it, maybe several times.
struct Wish {
  Operation operation;
  bool may_be_done = false;  // a try had no answer, or a good one
  bool was_refused = false;
  std::optional<std::string> body{};  // of the answer that is kept
};

struct Asked {
  std::shared_ptr<Wish> wish;
  PendingAnswer answer;
  std::uint64_t stored_version = 0;  // when it was asked
};

std::string spell(const Operation& operation) {
  struct Spelling {
    std::string operator()(const Get&) const { return "get"; }
    std::string operator()(const Create&) const { return "create"; }
    std::string operator()(const Plan&) const { return "plan"; }
    std::string operator()(const Commit& debit) const {
      return "commit " + std::to_string(debit.credits) + " of " + debit.tier +
             (debit.backend == ledger::Backend::gemini ? " to gemini" : " to hardware");
    }
    std::string operator()(const Reserve& hold) const {
      return "reserve " + std::to_string(hold.credits) + " of " + hold.tier.value_or("its tier") +
             " for " + std::to_string(hold.ttl.count()) + " s";
    }
    std::string operator()(const Settle& settle) const {
      const auto credits = settle.credits ? std::to_string(*settle.credits) : "all";
      return "settle " + credits + " of " + settle.reservation_id;
    }
    std::string operator()(const Release& release) const {
      return "release " + release.reservation_id;
    }
  };
  return std::visit(Spelling{}, operation.action) +
         (operation.idempotency_key ? " with key " + *operation.idempotency_key : "");
}

ledger::Quota quota_times(std::int64_t factor, std::int64_t divisor) {
  ledger::Quota changed = quota;
  for (auto& [tier, limits] : changed) {
    if (limits.limit) *limits.limit = *limits.limit * factor / divisor;
    if (limits.gemini_cap) *limits.gemini_cap = *limits.gemini_cap * factor / divisor;
  }
  return changed;
}

class Simulation {
 public:
  explicit Simulation(const Life& life) : is_long_{life.is_long} {
    store_.shared = life.is_shared;
    start();
  }

  void move(std::uint32_t seed) {
    Dice dice{seed};
    switch (dice.pick(0, 29)) {
      case 0: {
        const auto count = static_cast<std::size_t>(dice.pick(1, 2));
        tell("the next " + std::to_string(count) + " writes fail");
        return store_.fail_appends(count);
      }
      case 1:
        tell("the next write is stored, and fails all the same");
        return store_.fail_append_after_storing();
      case 2:
        tell("the next read fails");
        return store_.fail_loads(1);
      case 3:
        return write_elsewhere(dice);
      case 4:
        return move_clock(dice);
      case 5:
        return pass_time(dice);
      case 6:
        return dice.chance(50) ? change_quota(dice) : void();
      case 7:
        return dice.chance(25) ? restart() : hold_or_let_go(dice);
      case 8:
        return dice.chance(50) ? crash(dice) : void();
      case 9:
      case 10:
        tell("writes stall");
        return world_->stall_writes();
      case 11:
      case 12:
        tell("writes go on");
        return world_->resume_writes();
      case 13:
      case 14:
      case 15:
        if (!wishes_.empty()) ask(dice.recent(wishes_, recent));
        return run_some(dice);
      default:
        ask_anew(operation(dice));
        return run_some(dice);
    }
  }

  // Everything is answered, what was answered is what the store has, and nothing is left over.
  void finish() {
    tell("the end");
    world_->resume_writes();
    run_to_the_end();
    look_at_answers();
    expect(asked_.empty(), std::to_string(asked_.size()) + " requests have no answer");
    store_.heal();
    world_->pass(1h);
    expect(world_->live_installs() == 0, "an idle install is not passivated");
    for (const auto& id : ids_) check_history(id);
    for (const auto& wish : wishes_) check_refused(*wish);
  }

  std::vector<std::string> take_told() { return std::move(told_); }

  std::map<std::string, std::vector<Entry>> histories() {
    std::map<std::string, std::vector<Entry>> histories;
    for (const auto& id : ids_) histories[id] = store_.history(id);
    return histories;
  }

 private:
  struct Judged {
    ledger::Quota quota;  // in force then
    SteadyTime at;
    bool was_clock_behind;
  };

  void tell(std::string text) { told_.push_back(std::move(text)); }

  void start() {
    auto tuning = World::small_tuning();
    tuning.router_shards = 1;
    tuning.live_installs_max = 3;
    tuning.keep_entries = std::chrono::hours{24 * 36'500};  // all are looked at in the end
    const ledger::Time now = world_ ? world_->now : november;
    const SteadyTime steady = world_ ? world_->steady : SteadyTime{};
    world_.reset();
    first_of_this_start_ = judged_.size();
    if (is_older_than_it_is(now, steady)) first_of_known_age_ = judged_.size();
    world_ = std::make_unique<World>(store_, tuning, now, steady);
    world_->environment.quota.set(quota_);
    world_->environment.new_mutation_id = [this, &world = *world_] {  // in its end too
      judged_.push_back({quota_, world.steady, world.now < true_time(world.steady)});
      return ledger::MutationId{1, judged_.size()};
    };
  }

  static ledger::Time true_time(SteadyTime steady) {
    return november + std::chrono::floor<std::chrono::milliseconds>(steady.time_since_epoch());
  }

  // Whether a start at `now` cannot but take what is stored for older than it is: the clock is
  // ahead now, and was so when the newest entry was stored.
  bool is_older_than_it_is(ledger::Time now, SteadyTime steady) {
    return std::min(now, store_.newest_time().value_or(november)) > true_time(steady);
  }

  void pass_time(Dice& dice) {
    const std::chrono::minutes time{is_long_ ? dice.pick(60, 1'800) : dice.pick(1, 12)};
    tell(std::to_string(time.count()) + " idle minutes");
    world_->resume_writes();
    world_->now += time;
    world_->pass(time);
    look_at_answers();
  }

  void restart() {
    tell("stops in order, and starts");
    world_->resume_writes();
    store_.heal();
    start();
    look_at_answers();
    expect(asked_.empty(), "a request had no answer when the ledger was stopped in order");
  }

  // The process is killed. It may have been about to write: that is stored as a whole, or not.
  void crash(Dice& dice) {
    if (dice.chance(60)) run_into_a_write(dice.chance(50));
    tell("killed");
    for (const Asked& asked : asked_) asked.wish->may_be_done = true;
    asked_.clear();
    store_.fail_appends(every_append);
    store_.fail_loads(every_append);
    start();
    store_.heal();
  }

  void run_into_a_write(bool stores) {
    tell(stores ? "a write is stored, but no more comes of it" : "a write is not stored");
    stores ? store_.fail_append_after_storing() : store_.fail_appends(every_append);
    world_->resume_writes();
    const std::size_t appends = store_.appends;
    for (int i = 0; i < messages_max && world_->run_once(); ++i) {
      if (store_.appends > appends) return;
      look_at_answers();
    }
  }

  void hold_or_let_go(Dice& dice) {
    const std::string& id = dice.one_of(ids_);
    const bool holds = dice.chance(50);
    tell((holds ? "another transaction holds " : "no other transaction holds ") + id);
    holds ? store_.hold_install(id) : store_.let_go_of_install(id);
  }

  void move_clock(Dice& dice) {
    if (dice.chance(25)) {
      tell("the clock is put right");
      world_->now = true_time(world_->steady);
      return;
    }
    const auto step = clock_step(dice);
    tell("the clock moves by " + std::to_string(step.count()) + " s");
    world_->now += step;
  }

  std::chrono::seconds clock_step(Dice& dice) const {
    if (!is_long_) return std::chrono::seconds{dice.pick(-20, 40)};
    const bool is_by_years = dice.chance(10);
    return std::chrono::hours{is_by_years ? 24 * 365 * dice.pick(-3, 3) : dice.pick(-200, 400)};
  }

  void change_quota(Dice& dice) {
    quota_ = quota_times(dice.pick(1, 4), 2);
    tell("the quota of core is " + std::to_string(*quota_["core"].limit));
    world_->environment.quota.set(quota_);
  }

  void write_elsewhere(Dice& dice) {
    auto row = store_.row(dice.one_of(ids_));
    if (!row) return;
    tell("another writes " + row->install_id);
    try {
      const auto stamp = store_.stamp(row->install_id);
      auto mutation = tests::commit(*row, ++last_credits_, "pro", world_->now);
      mutation.follows = stamp;
      store_.append(std::vector{std::move(mutation)});
    } catch (const persistence::StoreError&) {
      // the fault that was meant for the persister; whether it was stored does not matter
    }
  }

  // The credits of a commit without a key are those of no other.
  Operation operation(Dice& dice) {
    Operation operation{dice.one_of(ids_), Get{}};
    switch (dice.pick(0, 13)) {
      case 0:
      case 1:
        break;
      case 2:
        operation.action = Plan{};
        break;
      case 3:
        operation.action = Create{};
        break;
      case 4:
      case 5:
      case 6:
        operation.action = commit(dice, ++last_credits_);
        break;
      case 7:
      case 8:
        operation.action = commit(dice, dice.pick(1, 3));
        operation.idempotency_key = new_key();
        break;
      case 9:
      case 10:
      case 11:
        operation.action = Reserve{tier(dice), dice.chance(50), dice.pick(1, 20),
                                   std::chrono::seconds{dice.pick(1, 300)}};
        if (dice.chance(50)) operation.idempotency_key = new_key();
        break;
      default:
        end_a_reservation(dice, operation);
    }
    operation.request = spell(operation);
    return operation;
  }

  std::string new_key() { return "k" + std::to_string(++last_key_); }
  static const char* tier(Dice& dice) { return dice.chance(50) ? "core" : "pro"; }

  static Commit commit(Dice& dice, std::int64_t credits) {
    const auto backend = dice.chance(50) ? ledger::Backend::gemini : ledger::Backend::hardware;
    return {backend, tier(dice), credits};
  }

  void end_a_reservation(Dice& dice, Operation& operation) {
    if (reservations_.empty()) return;
    const auto& [install_id, reservation_id] = dice.recent(reservations_, recent);
    operation.install_id = install_id;
    if (dice.chance(30)) {
      operation.action = Release{reservation_id};
    } else {
      const bool all = dice.chance(60);
      operation.action = Settle{
          reservation_id, {}, all ? std::nullopt : std::optional<std::int64_t>{dice.pick(0, 3)}};
    }
  }

  void ask_anew(Operation operation) {
    const auto wish = std::make_shared<Wish>(Wish{std::move(operation)});
    if (wish->operation.idempotency_key) wishes_.push_back(wish);
    ask(wish);
  }

  void ask(const std::shared_ptr<Wish>& wish) {
    const Operation& operation = wish->operation;
    tell(operation.install_id + ": " + spell(operation));
    asked_.push_back({wish, world_->send(operation), stored_version(operation.install_id)});
  }

  std::uint64_t stored_version(const std::string& id) {
    const auto row = store_.row(id);
    return row ? row->version : 0;
  }

  void run_some(Dice& dice) {
    for (int steps = dice.pick(0, 12); steps > 0; --steps) {
      if (!world_->run_one_of(static_cast<std::size_t>(dice.pick(0, 1'000)))) return;
      look_at_answers();
    }
  }

  void run_to_the_end() {
    for (int i = 0; i < messages_max; ++i) {
      if (!world_->run_once()) return;
    }
    static_cast<void>(world_.release());  // whose end would come to none either
    throw Fault{"the actors come to no end"};
  }

  void look_at_answers() {
    std::vector<Asked> unanswered;
    std::vector<Asked> answered;
    for (Asked& asked : asked_) {
      const bool is_ready = asked.answer.wait_for(0s) == std::future_status::ready;
      (is_ready ? answered : unanswered).push_back(std::move(asked));
    }
    asked_ = std::move(unanswered);
    for (Asked& asked : answered) take(asked);
  }

  void take(Asked& asked) {
    Wish& wish = *asked.wish;
    const std::string what = wish.operation.install_id + ": " + spell(wish.operation);
    try {
      const Answer answer = asked.answer.get();
      if (const auto* refused = std::get_if<Refused>(&answer)) {
        expect(!store_.shared || refused->reason != Refusal::unknown_install ||
                   asked.stored_version == 0,
               what + " was told that there is none, though another has created it");
        wish.was_refused = true;
        tell("  refused: " + what);
        return;
      }
      tell("  done: " + what);
      wish.may_be_done = true;
      const auto* view = std::get_if<InstallView>(&answer);
      expect(!store_.shared || !view || view->row.version >= asked.stored_version,
             what + " shows an old version, though another has written a new one");
      acknowledged(wish, answer);
    } catch (const persistence::StoreError&) {
      wish.may_be_done = true;
      tell("  unavailable: " + what);
    } catch (const std::future_error&) {
      throw Fault{what + " was dropped without an answer"};
    }
  }

  // At this very moment the store must have what the answer says.
  void acknowledged(Wish& wish, const Answer& answer) {
    const Operation& operation = wish.operation;
    const auto entries = store_.history(operation.install_id);
    if (const auto* view = std::get_if<InstallView>(&answer)) {
      check_view(operation, *view, entries);
    }
    expect(std::holds_alternative<Get>(operation.action) || !entries.empty(),
           spell(operation) + " was answered, but the install is not stored");
    if (operation.idempotency_key) return check_key(wish, answer, entries);
    if (const auto* debit = std::get_if<Commit>(&operation.action)) {
      expect_entry(entries, operation, [&](const Entry& entry) {
        return entry.kind == EntryKind::commit && entry.credits == debit->credits;
      });
      committed_[debit->credits] = operation.install_id;
    } else if (const auto* view = std::get_if<ReservationView>(&answer)) {
      expect_begun(entries, operation, view->reservation.id);
    } else if (const auto* settle = std::get_if<Settle>(&operation.action)) {
      expect_ended(entries, operation, settle->reservation_id, {EntryKind::settle});
    } else if (const auto* release = std::get_if<Release>(&operation.action)) {
      expect_ended(entries, operation, release->reservation_id,
                   {EntryKind::release, EntryKind::expire});
    }
  }

  void check_view(const Operation& operation, const InstallView& view,
                  const std::vector<Entry>& entries) const {
    const std::string what = "the answer to " + spell(operation);
    expect(entries.size() >= view.row.version, what + " shows a version that is not stored");
    ledger::Row durable = ledger::blank_row(operation.install_id, world_->now);
    for (std::uint64_t i = 0; i < view.row.version; ++i) ledger::apply(durable, entries[i]);
    expect(durable.lifetime_consumed == view.row.lifetime_consumed &&
               durable.tier_snapshot == view.row.tier_snapshot && durable.month <= view.row.month,
           what + " shows another row than that of its version");
  }

  // The same answer to each try, and one entry for them all.
  void check_key(Wish& wish, const Answer& answer, const std::vector<Entry>& entries) {
    const auto& key = wish.operation.idempotency_key;
    expect_entry(entries, wish.operation,
                 [&](const Entry& entry) { return entry.idempotency_key == key; });
    const auto* kept = std::get_if<Recorded>(&answer);
    const std::string body = kept ? kept->body : record(answer).body;
    expect(is_long_ || !wish.body || wish.body == body,
           "two tries of " + spell(wish.operation) + " have different answers");
    wish.body = body;
    if (const auto* view = std::get_if<ReservationView>(&answer)) {
      expect_begun(entries, wish.operation, view->reservation.id);
    }
  }

  void expect_begun(const std::vector<Entry>& entries, const Operation& operation,
                    const std::string& reservation_id) {
    expect_entry(entries, operation, [&](const Entry& entry) {
      return entry.kind == EntryKind::reserve && entry.reservation_id == reservation_id;
    });
    reservations_.emplace_back(operation.install_id, reservation_id);
  }

  static void expect_ended(const std::vector<Entry>& entries, const Operation& operation,
                           const std::string& reservation_id, const std::set<EntryKind>& kinds) {
    expect_entry(entries, operation, [&](const Entry& entry) {
      return kinds.contains(entry.kind) && entry.reservation_id == reservation_id;
    });
  }

  template <class IsIt>
  static void expect_entry(const std::vector<Entry>& entries, const Operation& operation,
                           IsIt is_it) {
    expect(std::any_of(entries.begin(), entries.end(), is_it),
           spell(operation) + " on " + operation.install_id + " was answered, but is not stored");
  }

  void check_history(const std::string& id) {
    const auto entries = store_.history(id);
    const auto stored = store_.row(id);
    std::map<std::int64_t, int> commits;
    std::map<std::string, const Judged*> keys;
    Spending spending;
    ledger::Row row = ledger::blank_row(id, november);
    for (const Entry& entry : entries) {
      ledger::apply(row, entry);
      const std::string fault = spending.add(entry, quota_at(entry));
      expect(fault.empty(), id + ", version " + std::to_string(entry.version) + ": " + fault);
      if (entry.idempotency_key) {
        const Judged& judged = judged_.at(entry.mutation_id.low - 1);
        const Judged*& before = keys[*entry.idempotency_key];
        expect(!before || was_forgotten(*before, judged),
               id + ": key " + *entry.idempotency_key + " was done twice");
        before = &judged;
      } else if (entry.kind == EntryKind::commit) {
        expect(++commits[entry.credits] == 1,
               id + ": the commit of " + std::to_string(entry.credits) + " was done twice");
      }
    }
    expect(stored.has_value() == !entries.empty() && (!stored || *stored == row),
           id + ": its row is not what its entries make of it");
    for (const auto& [credits, committed_on] : committed_) {
      expect(committed_on != id || commits[credits] == 1,
             id + ": the commit of " + std::to_string(credits) + " was answered, and is lost");
    }
  }

  // Whether what was done `before` may have been forgotten `then`. A start has only the times that
  // are stored to know how old something is.
  bool was_forgotten(const Judged& before, const Judged& then) const {
    const auto number = static_cast<std::size_t>(&before - judged_.data());
    const bool has_known_age = number >= first_of_known_age_ &&
                               (number >= first_of_this_start_ || !before.was_clock_behind);
    return !has_known_age || then.at - before.at >= ledger::replay_keys_remembered_for;
  }

  // What was in force when it was judged; another's commits are judged by none.
  const ledger::Quota& quota_at(const Entry& entry) const {
    return entry.mutation_id.high == 1 ? judged_.at(entry.mutation_id.low - 1).quota : quota_;
  }

  void check_refused(const Wish& wish) {
    if (!wish.was_refused || wish.may_be_done) return;
    for (const Entry& entry : store_.history(wish.operation.install_id)) {
      expect(entry.idempotency_key != wish.operation.idempotency_key,
             spell(wish.operation) + " was refused, and done all the same");
    }
  }

  const bool is_long_;
  ObservedStore store_;
  ledger::Quota quota_ = quota;
  std::vector<Judged> judged_;           // by the number of the mutation
  std::size_t first_of_this_start_ = 0;  // of judged_, as is the next
  std::size_t first_of_known_age_ = 0;
  const std::vector<std::string> ids_{"a", "b", "c", "d", "e"};
  std::vector<Asked> asked_;
  std::vector<std::shared_ptr<Wish>> wishes_;  // those with a key
  std::vector<std::pair<std::string, std::string>> reservations_;
  std::map<std::int64_t, std::string> committed_;  // answered commits without a key, by credits
  std::int64_t last_credits_ = 0;
  int last_key_ = 0;
  std::vector<std::string> told_;
  std::unique_ptr<World> world_;  // last, as its end uses all of them
};

}  // namespace

Life life_of(std::uint32_t seed) {
  std::mt19937 random{seed};
  Life life{seed % 2 == 0, seed % 3 == 0, {}};
  life.moves.resize(moves_of_a_life);
  for (std::uint32_t& move : life.moves) move = static_cast<std::uint32_t>(random());
  return life;
}

Lived live(const Life& life) {
  Simulation simulation{life};
  std::optional<std::string> fault;
  try {
    for (const std::uint32_t move : life.moves) simulation.move(move);
    simulation.finish();
  } catch (const Fault& found) {
    fault = found.what();
  }
  return {std::move(fault), simulation.take_told(), simulation.histories()};
}

Life shortest(Life life) {
  for (std::size_t size = life.moves.size(); size > 0; size /= 2) {
    for (std::size_t begin = 0; begin < life.moves.size();) {
      Life rest = life;
      const auto first = rest.moves.begin() + static_cast<std::ptrdiff_t>(begin);
      const auto count = std::min(size, rest.moves.size() - begin);
      rest.moves.erase(first, first + static_cast<std::ptrdiff_t>(count));
      if (live(rest).fault) {
        life = std::move(rest);
      } else {
        begin += size;
      }
    }
  }
  return life;
}

std::string report(std::uint32_t seed) {
  const Lived lived = live(shortest(life_of(seed)));
  std::string text = "seed " + std::to_string(seed) + ": " + lived.fault.value_or("no fault");
  text += "\nthe shortest history of one:";
  for (const std::string& line : lived.told) text += "\n  " + line;
  return text + "\n";
}

}  // namespace credits::tests
