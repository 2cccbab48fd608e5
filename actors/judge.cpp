#include <utility>

#include "actors/operation.hpp"

namespace credits::actors {

namespace {

class Judge {
 public:
  Judge(ledger::Row& row, const Circumstances& circumstances)
      : row_{row}, circumstances_{circumstances} {}

  Verdict operator()(const Get&) const {
    if (!exists()) return {{}, Refused{Refusal::unknown_install, row_.install_id}};
    return {{}, view_of(row_, circumstances_)};
  }

  Verdict operator()(const Create&) const {
    auto entry = create_if_new();
    InstallView view = view_of(row_, circumstances_);
    view.created = entry.has_value();
    return {std::move(entry), std::move(view)};
  }

  Verdict operator()(const Plan& asked) const {
    if (asked.tier && !is_known(*asked.tier)) return unknown_tier(*asked.tier);
    auto entry = create_if_new();
    const ledger::Balance balance = ledger::balance_of(
        row_, asked.tier.value_or(row_.tier_snapshot), circumstances_.quota, circumstances_.now);
    const bool has_hardware = asked.has_hardware.value_or(circumstances_.has_hardware);
    return {std::move(entry),
            PlanView{ledger::plan(balance, has_hardware, asked.credits), balance}};
  }

  Verdict operator()(const Commit& debit) const {
    if (!is_known(debit.tier)) return unknown_tier(debit.tier);
    const bool is_new = !exists();
    auto entry = ledger::commit_entry(row_, debit, circumstances_.quota, circumstances_.now);
    ledger::apply(row_, entry);
    InstallView view = view_of(row_, circumstances_);
    view.created = is_new;
    return {std::move(entry), std::move(view)};
  }

 private:
  bool exists() const { return row_.version > 0; }

  bool is_known(const std::string& tier) const { return circumstances_.quota.contains(tier); }

  static Verdict unknown_tier(const std::string& tier) {
    return {{}, Refused{Refusal::unknown_tier, tier}};
  }

  std::optional<ledger::Entry> create_if_new() const {
    if (exists()) return std::nullopt;
    auto entry = ledger::create_entry(row_, circumstances_.now);
    ledger::apply(row_, entry);
    return entry;
  }

  ledger::Row& row_;
  const Circumstances& circumstances_;
};

}  // namespace

InstallView view_of(const ledger::Row& row, const Circumstances& circumstances) {
  InstallView view{
      row, ledger::balance_of(row, row.tier_snapshot, circumstances.quota, circumstances.now),
      false};
  ledger::roll_over(view.row, ledger::month_of(circumstances.now));
  return view;
}

Verdict judge(ledger::Row& row, const Operation& operation, const Circumstances& circumstances) {
  return std::visit(Judge{row, circumstances}, operation.action);
}

}  // namespace credits::actors
