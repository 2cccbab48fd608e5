#include "tools/creditsload/expected.hpp"

#include <algorithm>
#include <sstream>
#include <utility>

#include "tools/creditsctl/failure.hpp"
#include "tools/creditsctl/json.hpp"

namespace credits::creditsload {

namespace {

constexpr std::size_t installs_at_once = 4'000;
constexpr int ok = 200;
constexpr int not_found = 404;

// Appends a fault if `actual` is not between `least` and `least + more`.
template <class Number>
void compare(const char* what, Number least, Number more, Number actual, std::ostream& faults) {
  if (actual >= least && actual <= least + more) return;
  faults << (faults.tellp() > 0 ? ", " : "") << what << " is " << actual << " and should be "
         << least;
  if (more > 0) faults << " to " << least + more;
}

Sum sum_of(const creditsctl::Json& install) {
  const auto credits = [&install](const char* name) {
    return static_cast<std::int64_t>(creditsctl::number(install, name));
  };
  return {static_cast<std::uint64_t>(creditsctl::number(install, "version")),
          credits("lifetime_consumed") + credits("monthly_consumed"),
          credits("lifetime_gemini_consumed") + credits("monthly_gemini_consumed")};
}

}  // namespace

void Sum::add(const Effect& effect) {
  mutations += effect.mutations;
  consumed += effect.credits;
  if (effect.is_gemini) gemini += effect.credits;
}

Expected::Expected(std::size_t installs)
    : acknowledged_(installs), doubtful_(installs), exists_(installs), may_create_(installs) {}

void Expected::start(std::size_t install, const Sum& sum) {
  acknowledged_[install] = sum;
  exists_[install] = sum.mutations > 0;
}

void Expected::acknowledged(const Effect& effect) {
  acknowledged_[effect.install].add(effect);
  if (effect.may_create) may_create_[effect.install] = true;
}

void Expected::doubtful(const Effect& effect) {
  doubtful_[effect.install].add(effect);
  if (effect.may_create) may_create_[effect.install] = true;
}

std::optional<std::string> Expected::fault_of(std::size_t install, const Sum& actual) const {
  const Sum& least = acknowledged_[install];
  Sum more = doubtful_[install];
  if (may_create_[install] && !exists_[install]) ++more.mutations;
  std::ostringstream faults;
  compare("version", least.mutations, more.mutations, actual.mutations, faults);
  compare("its consumption", least.consumed, more.consumed, actual.consumed, faults);
  compare("its gemini consumption", least.gemini, more.gemini, actual.gemini, faults);
  return faults.tellp() > 0 ? std::optional{faults.str()} : std::nullopt;
}

std::size_t Expected::doubtful_installs() const {
  return static_cast<std::size_t>(std::count_if(doubtful_.begin(), doubtful_.end(),
                                                [](const Sum& sum) { return sum.mutations > 0; }));
}

StateReader::StateReader(const Traffic& traffic, std::size_t installs, Post post)
    : traffic_{traffic}, installs_{installs}, post_{std::move(post)} {}

void StateReader::read(const std::function<void(std::size_t, const Sum&)>& take) {
  for (std::size_t begin = 0; begin < installs_; begin += installs_at_once) {
    read_some(begin, std::min(installs_, begin + installs_at_once), take);
  }
}

void StateReader::read_some(std::size_t begin, std::size_t end,
                            const std::function<void(std::size_t, const Sum&)>& take) {
  const std::string body = creditsctl::to_json([&](creditsctl::Writer& out) {
    out.StartObject();
    out.Key("operations");
    out.StartArray();
    for (std::size_t install = begin; install < end; ++install) {
      out.StartObject();
      out.Key("op");
      out.String("get");
      out.Key("install_id");
      out.String(traffic_.install_id(install).c_str());
      out.EndObject();
    }
    out.EndArray();
    out.EndObject();
  });
  const auto answer = creditsctl::parse_object(post_("/v1/batch", body));
  const auto& results = creditsctl::array(answer, "results");
  for (std::size_t i = 0; i < end - begin; ++i) {
    const auto& result = results[static_cast<rapidjson::SizeType>(i)];
    const int status = static_cast<int>(creditsctl::number(result, "status"));
    if (status != ok && status != not_found) {
      throw creditsctl::Failure{creditsctl::failed, "the server does not show install \"" +
                                                        traffic_.install_id(begin + i) + "\": " +
                                                        creditsctl::text(result, "detail")};
    }
    take(begin + i, status == ok ? sum_of(result) : Sum{});
  }
}

}  // namespace credits::creditsload
