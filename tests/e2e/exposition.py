"""The metrics that /metrics must expose, and a parser of Prometheus' text format. `promtool` checks the
rest; PROMTOOL names it, else it is searched for on the PATH."""

import os
import re
import shutil
import subprocess

import pytest

OPERATIONS = ["get", "create", "plan", "commit", "reserve", "settle", "release", "batch", "list",
              "entries", "snapshot", "import", "stats", "actor", "get_quota", "put_quota"]

METRICS = {
    # name: type, labels
    "credits_build_info": ("gauge", {"version"}),
    "credits_uptime_seconds": ("gauge", set()),
    "credits_store_info": ("gauge", {"engine"}),
    "credits_installs": ("gauge", set()),
    "credits_actors_live": ("gauge", set()),
    "credits_live_reservations": ("gauge", set()),
    "credits_held_credits": ("gauge", set()),
    "credits_actors_spawned_total": ("counter", set()),
    "credits_actors_passivated_total": ("counter", set()),
    "credits_mailbox_depth_max": ("gauge", set()),
    "credits_requests_total": ("counter", {"operation", "status"}),
    "credits_problems_total": ("counter", {"code"}),
    "credits_request_duration_seconds": ("histogram", {"operation"}),
    "credits_commits_total": ("counter", {"tier", "backend"}),
    "credits_debited_credits_total": ("counter", {"tier", "backend"}),
    "credits_entries_total": ("counter", {"kind"}),
    "credits_batch_rows": ("histogram", set()),
    "credits_sync_duration_seconds": ("histogram", set()),
    "credits_pending_mutations": ("gauge", set()),
    "credits_oldest_pending_seconds": ("gauge", set()),
    "credits_snapshot_lag_seconds": ("gauge", set()),
    "credits_snapshot_pending_rows": ("gauge", set()),
    "credits_store_conflicts_total": ("counter", set()),
    "credits_write_failures_total": ("counter", set()),
    "credits_checkpoint_failures_total": ("counter", set()),
    "credits_busy_installs_total": ("counter", set()),
    "credits_damaged_installs_total": ("counter", set()),
    "credits_clock_behind_seconds": ("gauge", set()),
    "credits_database_went_back_total": ("counter", set()),
    "credits_log_lines_dropped_total": ("counter", set()),
    "credits_store_up": ("gauge", set()),
    "credits_http_connections": ("gauge", set()),
    "credits_http_requests_in_flight": ("gauge", set()),
    "credits_shed_total": ("counter", set()),
}

SAMPLE = re.compile(r'([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)')
LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,|$)')


def unescaped(text):
    return re.sub(r"\\(.)", lambda found: {"n": "\n"}.get(found[1], found[1]), text)


def labels_of(text):
    labels = {name: unescaped(value) for name, value in LABEL.findall(text)}
    assert LABEL.sub("", text) == "", f"invalid labels: {text}"
    return labels


class Exposition:
    """`samples` maps a name to a map from the frozen items of its labels to its value."""

    def __init__(self, text):
        self.types, self.helps, self.samples = {}, {}, {}
        assert text.endswith("\n")
        for line in text[:-1].split("\n"):
            if line.startswith("# "):
                what, name, told = line[2:].split(" ", 2)
                known = {"TYPE": self.types, "HELP": self.helps}[what]
                assert name not in known, f"{what} of {name} twice"
                known[name] = told
            else:
                name, labels, value = SAMPLE.fullmatch(line).groups()
                key = frozenset(labels_of(labels or "").items())
                assert key not in self.samples.setdefault(name, {}), f"duplicate: {line}"
                self.samples[name][key] = float(value)

    def value(self, name, **labels):
        """Returns 0 if the sample is missing: a counter may appear with its first event."""
        return self.samples.get(name, {}).get(frozenset(labels.items()), 0)

    def total(self, name, **labels):
        """Returns the sum of the samples that have at least these labels."""
        return sum(value for key, value in self.samples.get(name, {}).items()
                   if labels.items() <= dict(key).items())

    def counters(self):
        """Maps (name, labels) to value, for all samples that may only grow."""
        return {(name, key): value for family, kind in self.types.items()
                for name in ([family] if kind == "counter" else
                             [family + end for end in ("_bucket", "_sum", "_count")]
                             if kind == "histogram" else [])
                for key, value in self.samples.get(name, {}).items()}

    def buckets(self, family):
        """Maps labels without `le` to a list of (bound, count), by rising bound."""
        found = {}
        for key, count in self.samples.get(family + "_bucket", {}).items():
            labels = dict(key)
            bound = float(labels.pop("le"))
            found.setdefault(frozenset(labels.items()), []).append((bound, count))
        return {key: sorted(buckets) for key, buckets in found.items()}


def scrape(client):
    answer = client.get("/metrics")
    assert answer.status == 200, answer.body
    return Exposition(answer.body.decode())


def promtool(*args, **settings):
    """Runs promtool; returns its exit status and output."""
    binary = os.environ.get("PROMTOOL") or shutil.which("promtool")
    if not binary:
        pytest.skip("no promtool: it is in Debian's package prometheus")
    ended = subprocess.run([binary, *map(str, args)], capture_output=True, timeout=60, **settings)
    return ended.returncode, (ended.stdout + ended.stderr).decode()
