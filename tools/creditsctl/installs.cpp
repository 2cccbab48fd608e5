// creditsctl show, history and list: the ledger's installs.
#include <algorithm>
#include <iostream>
#include <memory>

#include "tools/creditsctl/client.hpp"
#include "tools/creditsctl/commands.hpp"
#include "tools/creditsctl/failure.hpp"
#include "tools/creditsctl/json.hpp"
#include "tools/creditsctl/table.hpp"

namespace credits::creditsctl {

namespace {

constexpr std::uint64_t page_max = 1'000;  // the server's limit

std::string installs_target(const std::string& id = "") {
  return "/v1/installs" + (id.empty() ? "" : "/" + percent_encoded(id));
}

// How much of a list to show.
struct Extent {
  std::uint64_t limit = 100;
  bool all = false;
};

// A list that the server returns in pages.
struct Pages {
  std::string target;  // with `?`, and `&` after each parameter
  const char* items;   // the name of the array of items
  const char* next;    // the name of the cursor to the next page, null at the end
  std::string next_in_query;
};

// Passes the items to `show` page by page, and returns the cursor to the rest, in JSON.
template <class Show>
std::string visit(Client& client, const Pages& pages, const Extent& extent, Show show) {
  std::string query_for_next;
  for (std::uint64_t left = extent.limit;;) {
    const std::uint64_t limit = extent.all ? page_max : std::min(left, page_max);
    const auto page =
        parse_object(client.get(pages.target + "limit=" + std::to_string(limit) + query_for_next));
    const Json& items = array(page, pages.items);
    show(items);
    left -= std::min<std::uint64_t>(left, items.Size());
    const Json& next = member(page, pages.next);
    if (next.IsNull() || (!extent.all && left == 0)) return to_json(next);
    query_for_next = "&" + pages.next_in_query + "=" + percent_encoded(in_words(next));
  }
}

void print_json(Client& client, const Pages& pages, const Extent& extent) {
  const std::string head = std::string{"{\""} + pages.items + "\":[";
  const char* separator = head.c_str();
  const std::string next = visit(client, pages, extent, [&separator](const Json& items) {
    if (items.Empty()) std::cout << std::exchange(separator, "");
    for (const Json& item : items.GetArray()) {
      std::cout << separator << to_json(item);
      separator = ",";
    }
  });
  std::cout << "],\"" << pages.next << "\":" << next << "}\n";
}

void note(const std::string& text) {
  std::cout << std::flush;
  std::cerr << "creditsctl: " << text << '\n';
}

// `none` is printed if the list is empty.
template <class Cells>
void print_table(Client& client, const Pages& pages, const Extent& extent, const char* none,
                 Table table, Cells cells) {
  bool is_empty = true;
  const std::string next = visit(client, pages, extent, [&](const Json& items) {
    is_empty = is_empty && items.Empty();
    for (const Json& item : items.GetArray()) table.add(cells(item));
    table.print(std::cout);
  });
  if (is_empty) return note(none);
  if (next != "null") note("there are more; --limit N shows N of them, --all shows all");
}

std::vector<std::string> install_cells(const Json& install) {
  const Json& balance = object(install, "balance");
  const Json& remaining = member(balance, "remaining");
  return {text(install, "install_id"),
          text(install, "tier_snapshot"),
          remaining.IsNull() ? "unlimited" : in_words(remaining),
          in_words(member(balance, "gemini_remaining")),
          in_words(member(balance, "held")),
          in_words(member(install, "lifetime_consumed")),
          in_words(member(install, "monthly_consumed")),
          text(install, "month"),
          in_words(member(install, "version")),
          in_words(member(install, "last_active_at"))};
}

struct ListOptions {
  Extent extent;
  std::string prefix;
  std::string tier;
};

void list(const Options& options, const ListOptions& wanted) {
  std::string target = installs_target() + "?";
  if (!wanted.prefix.empty()) target += "prefix=" + percent_encoded(wanted.prefix) + "&";
  if (!wanted.tier.empty()) target += "tier=" + percent_encoded(wanted.tier) + "&";
  const Pages pages{target, "installs", "next_after", "after"};
  Client client{options};
  if (options.json) return print_json(client, pages, wanted.extent);
  const Table table{{"INSTALL", "TIER", ">REMAINING", ">GEMINI", ">HELD", ">LIFETIME", ">MONTHLY",
                     "MONTH", ">VERSION", "LAST ACTIVE"}};
  const bool is_filtered = !wanted.prefix.empty() || !wanted.tier.empty();
  print_table(
      client, pages, wanted.extent,
      is_filtered ? "no install has this --prefix and --tier" : "the ledger has no installs", table,
      install_cells);
}

std::vector<std::string> entry_cells(const Json& entry) {
  std::vector<std::string> cells;
  for (const char* name : {"version", "at", "kind", "tier", "backend", "credits", "counter",
                           "month", "idempotency_key", "reservation_id"}) {
    cells.push_back(in_words(member(entry, name)));
  }
  return cells;
}

void history(const Options& options, const std::string& id, const Extent& extent) {
  const Pages pages{installs_target(id) + "/entries?", "entries", "next_before", "before"};
  Client client{options};
  if (options.json) return print_json(client, pages, extent);
  const Table table{{">VERSION", "AT", "KIND", "TIER", "BACKEND", ">CREDITS", "COUNTER", "MONTH",
                     "IDEMPOTENCY KEY", "RESERVATION"}};
  print_table(client, pages, extent, "its entries have been pruned", table, entry_cells);
}

void add_members(Table& table, const Json& object) {
  for (const auto& [name, value] : object.GetObject()) {
    if (value.IsObject()) {
      add_members(table, value);
    } else if (!value.IsArray()) {
      table.add({name.GetString(), in_words(value)});
    }
  }
}

void print_reservations(const Json& reservations) {
  if (reservations.Empty()) return;
  Table table{{"RESERVATION", "TIER", "BACKEND", ">CREDITS", "COUNTER", "MONTH", "EXPIRES AT"}};
  for (const Json& reservation : reservations.GetArray()) {
    std::vector<std::string> cells;
    for (const char* name :
         {"reservation_id", "tier", "backend", "credits", "counter", "month", "expires_at"}) {
      cells.push_back(in_words(member(reservation, name)));
    }
    table.add(std::move(cells));
  }
  std::cout << '\n';
  table.print(std::cout);
}

void print_actor(const Json& actor) {
  Table table{{"ACTOR", ""}};
  for (const char* name : {"live", "mailbox_depth", "pending_writes", "messages_handled",
                           "spawned_at", "last_message_at"}) {
    table.add({name, in_words(member(actor, name))});
  }
  std::cout << '\n';
  table.print(std::cout);
}

// Neither call wakes the install's actor, as GET /v1/installs/{id} would. In the order of ids, an
// id comes before all that begin with it.
void show(const Options& options, const std::string& id) {
  Client client{options};
  const auto page =
      parse_object(client.get(installs_target() + "?limit=1&prefix=" + percent_encoded(id)));
  const Json& installs = array(page, "installs");
  if (installs.Empty() || text(installs[0], "install_id") != id) {
    throw Failure{failed, "the ledger has no install \"" + id + "\" (unknown_install)"};
  }
  const std::string answer = client.get(installs_target(id) + "/actor");
  const auto actor = parse_object(answer);
  if (options.json) {
    std::cout << R"({"install":)" << to_json(installs[0]) << R"(,"actor":)" << answer << "}\n";
    return;
  }
  Table table{{"INSTALL", ""}};
  add_members(table, installs[0]);
  table.print(std::cout);
  print_actor(actor);
  print_reservations(array(actor, "reservations"));
}

void add_extent(CLI::App& command, Extent& extent) {
  CLI::Option* all = command.add_flag("--all", extent.all, "Show all of them");
  command.add_option("--limit", extent.limit, "Show at most this many")
      ->check(CLI::Range(1, 1'000'000'000))
      ->type_name("N")
      ->capture_default_str()
      ->excludes(all);
}

}  // namespace

void add_show(CLI::App& app, const Options& options) {
  CLI::App* command = app.add_subcommand(
      "show", "Show an install: its row, balance, reservations, and whether its actor is live");
  const auto id = std::make_shared<std::string>();
  command->add_option("ID", *id, "The install")->required()->type_name("");
  command->footer("Examples:\n  $ creditsctl show phone-1\n  $ creditsctl show phone-1 --json");
  command->callback([&options, id] { show(options, *id); });
}

void add_history(CLI::App& app, const Options& options) {
  CLI::App* command = app.add_subcommand("history", "Show an install's entries, newest first");
  const auto id = std::make_shared<std::string>();
  const auto extent = std::make_shared<Extent>();
  command->add_option("ID", *id, "The install")->required()->type_name("");
  add_extent(*command, *extent);
  command->footer(
      "Examples:\n  $ creditsctl history phone-1\n  $ creditsctl history phone-1 --limit 5");
  command->callback([&options, id, extent] { history(options, *id, *extent); });
}

void add_list(CLI::App& app, const Options& options) {
  CLI::App* command = app.add_subcommand("list", "List installs in id order");
  const auto wanted = std::make_shared<ListOptions>();
  command->add_option("--prefix", wanted->prefix, "Only ids that begin with this")
      ->type_name("TEXT");
  command->add_option("--tier", wanted->tier, "Only installs of this tier")->type_name("TIER");
  add_extent(*command, wanted->extent);
  command->footer(
      "Examples:\n  $ creditsctl list --prefix phone- --limit 20\n"
      "  $ creditsctl list --tier pro --all --json");
  command->callback([&options, wanted] { list(options, *wanted); });
}

}  // namespace credits::creditsctl
