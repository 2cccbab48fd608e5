"""Commits from many connections at once, and checks of the ledger afterwards, whatever happened to the
server meanwhile."""

import http.client
import itertools
import random
import threading
from collections import Counter, defaultdict
from urllib.parse import quote

import creditsd

COUNTERS = ["lifetime_consumed", "lifetime_gemini_consumed",
            "monthly_consumed", "monthly_gemini_consumed"]
FIRST_KINDS = ["create", "import"]  # of an install not created by a commit


def path_of(install_id):
    return "/v1/installs/" + quote(install_id, safe="")


def ids(count):
    return [f"i{n:04}" for n in range(count)]


def show(client, install_id="a"):
    answer = client.get(path_of(install_id))
    assert answer.status == 200, answer.body
    return answer.json


def state(client, install_id="a"):
    """The install and its newest entries, as sent."""
    path = path_of(install_id)
    return [client.get(path).body, client.get(path + "/entries?limit=1000").body]


def counters(row):
    return [row[name] for name in COUNTERS]


def all_installs(client, query=""):
    """The whole list, page by page: id to install."""
    found, after = {}, ""
    while after is not None:
        page = client.get(f"/v1/installs?limit=1000&after={quote(after, safe='')}{query}").json
        found |= {install["install_id"]: install for install in page["installs"]}
        after = page["next_after"]
    return found


def all_entries(client, install_id):
    """The whole audit trail, page by page, oldest first."""
    found, before = [], ""
    while before is not None:
        query = f"&before={before}" if before else ""
        page = client.get(f"{path_of(install_id)}/entries?limit=1000{query}").json
        found += page["entries"]
        before = page["next_before"]
    return found[::-1]


def history(client):
    """Everything that the ledger reports, which a restart must not change."""
    installs = all_installs(client)
    return installs, {install_id: all_entries(client, install_id) for install_id in installs}


class Traffic:
    """Connections that commit, and some that read, until the server ends or `end` is called.

    Each commit has a random backend, tier and number of credits, so that entries are hardly ever alike.
    Several ports share the connections."""

    def __init__(self, ports, ids, writers=24, readers=4):
        self.answered = defaultdict(dict)  # id -> version -> (commit, install)
        self.in_doubt = defaultdict(list)  # id -> unanswered commits
        self.refused = []
        self.seen = Counter()  # id -> newest version read
        self._failures = []
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._ports = ports if isinstance(ports, list) else [ports]
        self._ids = ids
        self._threads = [threading.Thread(target=self._run, args=(work, n)) for n, work in
                         enumerate([self._commit] * writers + [self._read] * readers)]
        for thread in self._threads:
            thread.start()

    @property
    def ids(self):
        return self.answered.keys() | self.in_doubt.keys() | self.seen.keys()

    def count(self):
        with self._lock:
            return sum(map(len, self.answered.values()))

    def wait_for(self, count):
        creditsd.wait_until(lambda: self.count() >= count or self._failures,
                            f"an answer to {count} commits")

    def end(self):
        self._over.set()
        for thread in self._threads:
            thread.join()
        if self._failures:
            raise self._failures[0]

    def _run(self, work, number):
        client = creditsd.Client(self._ports[number % len(self._ports)])
        chance = random.Random(number)
        # Each connection visits every install once per round.
        ids = itertools.cycle(chance.sample(self._ids, len(self._ids)))
        try:
            while not self._over.is_set():
                work(client, next(ids), chance)
        except (ConnectionError, http.client.HTTPException):
            pass  # the server has ended
        except Exception as failure:  # noqa: BLE001
            self._failures.append(failure)
        finally:
            client.close()

    def _commit(self, client, install_id, chance):
        commit = {"backend": chance.choice(["gemini", "hardware"]),
                  "tier": chance.choice(["core", "pro", "max"]), "credits": chance.randint(1, 9)}
        try:
            answer = client.post(f"{path_of(install_id)}/commit", commit)
        except (ConnectionError, http.client.HTTPException):
            with self._lock:
                self.in_doubt[install_id].append(commit)
            raise
        with self._lock:
            if answer.status != 200:
                self.refused.append(answer)
                if answer.json["code"] == "storage_unavailable":
                    self.in_doubt[install_id].append(commit)
                return
            versions = self.answered[install_id]
            assert answer.json["version"] not in versions, "two commits have the same version"
            versions[answer.json["version"]] = commit, answer.json

    def _read(self, client, install_id, _chance):
        answer = client.get(path_of(install_id))
        with self._lock:
            if answer.status == 200:
                self.seen[install_id] = max(self.seen[install_id], answer.json["version"])
            elif answer.status != 404:
                self.refused.append(answer)


def check_count(client, traffic, before=None):
    """Checks that every answered commit is stored once, and nothing else except commits in doubt.

    `before` maps ids to installs as of the beginning of the traffic. Returns the same as of now."""
    before = before or {}
    now = all_installs(client)
    for install_id in traffic.ids:
        install = now.get(install_id)
        if install is None:
            assert install_id not in before and not traffic.answered[install_id]
            assert not traffic.seen[install_id]
            continue
        assert client.get(path_of(install_id)).json == install
        assert install["version"] >= traffic.seen[install_id]
        old = before.get(install_id)
        entries = all_entries(client, install_id)
        assert [e["version"] for e in entries] == list(range(1, install["version"] + 1))
        first_kind = entries[0]["kind"]
        assert all(e["kind"] == "commit" for e in entries[first_kind in FIRST_KINDS:])
        _check_commits(entries[old["version"] if old else 0:], traffic.answered[install_id],
                       traffic.in_doubt[install_id])
        _check_sums(entries, install, old, traffic.answered[install_id])
    for install_id in before.keys() - traffic.ids:
        assert now[install_id] == before[install_id]
    return now


def _check_commits(added, answered, in_doubt):
    """Checks that each added entry is an answered commit or one in doubt."""
    def kind_of(commit):
        return commit["backend"], commit["tier"], commit["credits"]

    told = {e["version"]: kind_of(e) for e in added}
    for version, (commit, _) in answered.items():
        assert told.pop(version) == kind_of(commit)
    assert Counter(told.values()) <= Counter(map(kind_of, in_doubt))


def _check_sums(entries, install, old, answered):
    """Checks that the entries add up to the row, and to each answer."""
    version, month, consumed = ((old["version"], old["month"], counters(old)) if old
                                else (0, entries[0]["month"], [0] * 4))
    for entry in entries[version:]:
        if entry["month"] > month:
            month, consumed = entry["month"], consumed[:2] + [0, 0]
        counter = 0 if entry["counter"] == "lifetime" else 2
        consumed[counter] += entry["credits"]
        if entry["backend"] == "gemini":
            consumed[counter + 1] += entry["credits"]
        if entry["version"] in answered:
            shown = answered[entry["version"]][1]
            assert (shown["month"], counters(shown)) == (month, consumed)
    if month == install["month"]:
        assert counters(install) == consumed
    else:  # a new month has begun
        assert counters(install) == consumed[:2] + [0, 0]
