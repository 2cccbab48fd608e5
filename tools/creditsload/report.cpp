#include "tools/creditsload/report.hpp"

#include <array>
#include <ctime>
#include <iomanip>
#include <ostream>
#include <sstream>

#include "http/api/assets.hpp"
#include "http/server/message.hpp"
#include "tools/creditsctl/json.hpp"
#include "tools/creditsctl/table.hpp"
#include "tools/version.hpp"

// The linker's names for the contents of assets.S.
extern "C" const char credits_report_html[];
extern "C" const char credits_report_html_end[];

namespace credits::creditsload {

namespace {

using creditsctl::Writer;

struct Quantile {
  const char* name;  // in tables
  const char* member;
  double share;
};
constexpr std::array quantiles{
    Quantile{">p50 ms", "p50_us", 0.5}, Quantile{">p90 ms", "p90_us", 0.9},
    Quantile{">p99 ms", "p99_us", 0.99}, Quantile{">p99.9 ms", "p999_us", 0.999}};

std::string fixed(double value, int digits) {
  std::ostringstream text;
  text << std::fixed << std::setprecision(digits) << value;
  return text.str();
}

std::string in_ms(std::uint64_t us) { return fixed(static_cast<double>(us) / 1'000, 2); }

double rate_of(const Slice& slice, double seconds) {
  return static_cast<double>(slice.operations) / seconds;
}

std::vector<std::string> cells_of(const std::string& name, const Slice& slice, double seconds) {
  std::vector<std::string> cells{name, fixed(rate_of(slice, seconds), 0),
                                 std::to_string(slice.errors)};
  for (const Quantile& quantile : quantiles) {
    cells.push_back(in_ms(slice.latencies.quantile_us(quantile.share)));
  }
  cells.push_back(in_ms(slice.latencies.max_us));
  return cells;
}

void number(Writer& out, const char* name, double value) {
  out.Key(name);
  out.Double(value);
}

void count(Writer& out, const char* name, std::uint64_t value) {
  out.Key(name);
  out.Uint64(value);
}

void text(Writer& out, const char* name, const std::string& value) {
  out.Key(name);
  out.String(value.data(), static_cast<rapidjson::SizeType>(value.size()));
}

void write_slice(Writer& out, const Slice& slice, double seconds) {
  number(out, "operations_per_second", rate_of(slice, seconds));
  count(out, "operations", slice.operations);
  count(out, "errors", slice.errors);
  count(out, "requests", slice.latencies.counts.total());
  for (const Quantile& quantile : quantiles) {
    count(out, quantile.member, slice.latencies.quantile_us(quantile.share));
  }
  count(out, "max_us", slice.latencies.max_us);
}

// The whole distribution, for a plot; the tables have only a few quantiles.
void write_distribution(Writer& out, const Latencies& latencies) {
  out.Key("distribution");
  out.StartArray();
  for (std::size_t i = 0; i < latencies.counts.of.size(); ++i) {
    if (latencies.counts.of[i] == 0) continue;
    out.StartObject();
    count(out, "us", std::min(base::buckets::greatest_in(i), latencies.max_us));
    count(out, "requests", latencies.counts.of[i]);
    out.EndObject();
  }
  out.EndArray();
}

void write_kinds(Writer& out, const Results& results) {
  out.Key("kinds");
  out.StartObject();
  for (std::size_t i = 0; i < kinds; ++i) {
    const Slice& slice = results.of(static_cast<Kind>(i));
    if (slice.latencies.counts.total() == 0) continue;
    out.Key(kind_names[i]);
    out.StartObject();
    write_slice(out, slice, results.seconds());
    out.EndObject();
  }
  out.EndObject();
}

void write_slices(Writer& out, const Results& results) {
  number(out, "slice_seconds", results.slice_seconds());
  out.Key("slices");
  out.StartArray();
  for (const Slice& slice : results.slices()) {
    out.StartObject();
    write_slice(out, slice, results.slice_seconds());
    out.EndObject();
  }
  out.EndArray();
}

void write_verdict(Writer& out, const Verdict& verdict) {
  out.Key("verified");
  out.StartObject();
  count(out, "installs", verdict.installs);
  count(out, "doubtful_installs", verdict.doubtful_installs);
  count(out, "differing_installs", verdict.differing_installs);
  out.Key("faults");
  out.StartArray();
  for (const std::string& fault : verdict.faults) {
    out.String(fault.data(), static_cast<rapidjson::SizeType>(fault.size()));
  }
  out.EndArray();
  out.EndObject();
}

std::string now_as_text() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  std::ostringstream words;
  words << std::put_time(&utc, "%Y-%m-%dT%H:%M:%SZ");
  return words.str();
}

void replace(std::string& page, const std::string& place, const std::string& by) {
  page.replace(page.find(place), place.size(), by);
}

// In a page, `</script>` in a string would end the script.
std::string harmless_in_script(std::string json) {
  for (std::size_t at = json.find('<'); at != std::string::npos; at = json.find('<', at)) {
    json.replace(at, 1, "\\u003c");
  }
  return json;
}

}  // namespace

void print(const Settings& settings, const Outcome& outcome, std::ostream& out) {
  const Results& results = outcome.results;
  out << summary_of(settings) << "\n\n";
  creditsctl::Table table{
      {"", ">operations/s", ">errors", ">p50 ms", ">p90 ms", ">p99 ms", ">p99.9 ms", ">max ms"}};
  for (std::size_t i = 0; i < kinds; ++i) {
    const Slice& slice = results.of(static_cast<Kind>(i));
    if (slice.latencies.counts.total() == 0) continue;
    table.add(cells_of(kind_names[i], slice, results.seconds()));
  }
  table.add(cells_of("all", results.total(), results.seconds()));
  table.print(out);
  for (const auto& [code, times] : results.errors()) {
    out << "error: " << times << " times " << creditsctl::harmless(code) << '\n';
  }
  if (!outcome.verdict) return;
  const Verdict& verdict = *outcome.verdict;
  out << "verified: " << verdict.installs << " installs, " << verdict.differing_installs
      << " differ";
  if (verdict.doubtful_installs > 0) {
    out << "; " << verdict.doubtful_installs << " have requests whose outcome is unknown";
  }
  out << '\n';
  for (const std::string& fault : verdict.faults) {
    out << "differs: " << creditsctl::harmless(fault) << '\n';
  }
}

std::string as_json(const Settings& settings, const Outcome& outcome) {
  return creditsctl::to_json([&](Writer& out) {
    const Results& results = outcome.results;
    const Slice total = results.total();
    out.StartObject();
    text(out, "command", summary_of(settings));
    text(out, "version", version);
    text(out, "ended_at", now_as_text());
    text(out, "loop", settings.rate > 0 ? "open" : "closed");
    number(out, "rate", settings.rate);
    number(out, "seconds", results.seconds());
    count(out, "seed", settings.seed);
    text(out, "install_prefix", settings.install_prefix);
    out.Key("all");
    out.StartObject();
    write_slice(out, total, results.seconds());
    write_distribution(out, total.latencies);
    out.EndObject();
    write_kinds(out, results);
    out.Key("errors");
    out.StartObject();
    for (const auto& [code, times] : results.errors()) count(out, code.c_str(), times);
    out.EndObject();
    write_slices(out, results);
    if (outcome.verdict) write_verdict(out, *outcome.verdict);
    out.EndObject();
  });
}

std::string as_page(const Settings& settings, const Outcome& outcome) {
  std::string page{credits_report_html, credits_report_html_end};
  replace(page, "/* report */", harmless_in_script(as_json(settings, outcome)));
  replace(page, "/* chart.js */", http::asset_at("/chart.js", false).body);
  return page;
}

}  // namespace credits::creditsload
