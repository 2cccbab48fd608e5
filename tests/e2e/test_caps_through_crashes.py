"""Reservations never overspend, and no acknowledged call is lost or takes effect twice: 64 clients reserve
and settle at random while the server is killed again and again; the audit trail is checked afterwards."""

import json
import random
import subprocess
import threading
import time
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

import creditsd
from creditsd import wait_until
from reserving import PatientClient, Service, Threads, call, parse_time, rerunnable, seeds
from traffic import all_entries, path_of

QUOTA = {"core": {"lifetime": 60, "geminiCapLifetime": 25},
         "pro": {"monthly": 80, "geminiCapMonthly": 30}}
COUNTER = {"core": "lifetime", "pro": "monthly"}
CAP = {"core": 60, "pro": 80}
GEMINI_CAP = {"core": 25, "pro": 30}

CLIENTS = 64
OBSERVERS = 3
KILLS = 4
GROUPS = 6  # of three installs; the traffic moves from one group to the next
GROUP_S = 1.0
CLOCK_MARGIN_S = 0.05
ENDINGS = {"settle", "release", "expire"}


@dataclass(frozen=True)
class Install:
    id: str
    tier: str
    pays_after_expiry: bool = False  # by plain commits, which may pass the cap


@dataclass(frozen=True)
class Reservation:
    install: Install
    id: str
    key: str
    backend: str
    credits: int
    has_hardware: bool
    expires_at: float
    contested: bool  # others may end it too


class Books:
    """The answers to all clients together."""

    def __init__(self):
        self.lock = threading.Lock()
        self.reserved = {}  # reservation id -> Reservation
        self.settled = {}  # reservation id -> (backend, credits)
        self.released = set()
        self.expired = set()
        self.refused_keys = set()
        self.paid_after_expiry = {}  # reservation id -> (backend, credits)
        self.overdraft = Counter()  # install id -> credits that plain commits have asked for
        self.gemini_overdraft = Counter()
        self.contested = []
        self.seen = Counter()  # install id -> newest version shown
        self.answers = 0

    def note_reserved(self, reservation):
        with self.lock:
            assert reservation.id not in self.reserved, f"made twice: {reservation}"
            self.reserved[reservation.id] = reservation

    def note_settled(self, reservation, backend, credits):
        with self.lock:
            known = self.settled.setdefault(reservation.id, (backend, credits))
        assert known == (backend, credits), f"settled twice: {reservation}, {known}"

    def note_overdraft(self, reservation):
        with self.lock:
            self.overdraft[reservation.install.id] += reservation.credits
            if reservation.backend == "gemini":
                self.gemini_overdraft[reservation.install.id] += reservation.credits

    def note_answer(self, install, shown):
        with self.lock:
            self.answers += 1
            if shown:
                self.seen[install.id] = max(self.seen[install.id], shown["version"])


def group_of_installs(number):
    return [Install(f"core-{number}", "core"), Install(f"pro-{number}", "pro"),
            Install(f"paying-{number}", "core", pays_after_expiry=True)]


def consumed(install, shown):
    counter = COUNTER[install.tier]
    return shown[f"{counter}_consumed"], shown[f"{counter}_gemini_consumed"]


def check_caps(install, shown, books):
    total, gemini = consumed(install, shown)
    balance = shown["balance"]
    over, gemini_over = books.overdraft[install.id], books.gemini_overdraft[install.id]
    assert balance["held"] >= 0, shown
    assert total + balance["held"] <= CAP[install.tier] + over, f"over the cap: {shown}"
    assert gemini <= GEMINI_CAP[install.tier] + gemini_over, f"over the Gemini cap: {shown}"
    check_room(install, shown)


def check_room(install, shown):
    """Checks that the credits left, in total and for Gemini, are net of holds."""
    total, gemini = consumed(install, shown)
    balance = shown["balance"]
    assert balance["remaining"] == max(0, CAP[install.tier] - total - balance["held"]), shown
    gemini_room = GEMINI_CAP[install.tier] - gemini
    assert max(0, gemini_room - balance["held"]) <= balance["gemini_remaining"], shown
    assert balance["gemini_remaining"] <= max(0, gemini_room), shown


class Spender:
    """A client that makes reservations and ends them in every possible way."""

    def __init__(self, number, seed, service, books, installs):
        self.number = number
        self.chance = random.Random(f"{seed}/client/{number}")
        self.client = PatientClient(service, self.chance)
        self.books = books
        self.installs = installs
        self.made = 0

    def run(self, over):
        try:
            while not over.is_set():
                if self.chance.random() < 0.1 and (contested := self.take_contested()):
                    self.end(contested)
                elif reservation := self.reserve(self.chance.choice(self.installs())):
                    self.live_through(reservation)
        finally:
            self.client.close()

    def ask(self, install, asked, *codes):
        """Returns the answer: a success, or a problem with one of these codes."""
        answer = self.client.ask(install.id, asked)
        body = answer.json
        assert answer.status < 300 or body["code"] in codes, (
            f"{asked} on {install.id} was answered {answer.status} {body}")
        shown = body if answer.status < 300 and "version" in body else None
        if shown:
            check_caps(install, shown, self.books)
        self.books.note_answer(install, shown)
        return answer

    def take_contested(self):
        with self.books.lock:
            return self.books.contested.pop() if self.books.contested else None

    def reserve(self, install):
        self.made += 1
        short = self.chance.random() < (0.25 if install.pays_after_expiry else 0.03)
        has_hardware = self.chance.random() < 0.7
        credits = self.chance.randint(1, 2 if short else 6)
        asked = call("reserve", key=f"{self.number}-{self.made}", tier=install.tier,
                     has_hardware=has_hardware, credits=credits,
                     **({"ttl_seconds": 1} if short else {}))
        called_at = time.time()
        answer = self.ask(install, asked, "out_of_credits", "gemini_cap_exceeded_no_hardware")
        if answer.status != 201:
            assert answer.status == 402 and not (
                has_hardware and answer.json["code"] == "gemini_cap_exceeded_no_hardware")
            self.books.refused_keys.add((install.id, asked.key))
            time.sleep(self.chance.uniform(0, 0.01))
            return None
        made = answer.json
        assert (made["tier"], made["credits"]) == (install.tier, credits), made
        assert made["backend"] == "gemini" or has_hardware, made
        assert credits <= made["balance"]["held"], made
        assert made["balance"]["held"] <= CAP[install.tier], f"over the cap: {made}"
        expires_at = parse_time(made["expires_at"])
        ttl_s = 1 if short else 600
        assert (called_at + ttl_s - CLOCK_MARGIN_S <= expires_at
                <= time.time() + ttl_s + CLOCK_MARGIN_S), made
        reservation = Reservation(
            install, made["reservation_id"], asked.key, made["backend"], credits, has_hardware,
            expires_at, contested=self.chance.random() < 0.15)
        self.books.note_reserved(reservation)
        if self.chance.random() < 0.1:
            self.check_replay(reservation, asked, answer)
        return reservation

    def check_replay(self, reservation, asked, first):
        again = self.ask(reservation.install, asked)
        assert (again.status, again.json) == (first.status, first.json), f"{asked}: {again.body}"
        assert again.headers["Idempotency-Replayed"] == "true", f"{asked}: {again.headers}"

    def live_through(self, reservation):
        if reservation.contested:
            with self.books.lock:
                self.books.contested.append(reservation)
        lifetime_s = reservation.expires_at - time.time()
        if lifetime_s < 10 and self.chance.random() < 0.8:
            time.sleep(max(0, lifetime_s + self.chance.choice([-0.1, 0, 0.01, 0.1, 0.2])))
        if self.chance.random() < 0.97:  # otherwise leave it to expire
            self.end(reservation)

    def end(self, reservation):
        if self.chance.random() < 0.6:
            self.release(reservation)
        else:
            self.settle(reservation, self.chance.choice(["full", "part", "part", "other", "both"]))

    def release(self, reservation):
        contested = ["reservation_settled"] if reservation.contested else []
        asked = call("release", reservation=reservation.id)
        for _ in range(1 + (self.chance.random() < 0.1)):
            answer = self.ask(reservation.install, asked, *contested)
            if answer.status == 200:
                self.books.released.add(reservation.id)

    def settle(self, reservation, manner):
        fields, backend, credits = {}, reservation.backend, reservation.credits
        if manner in ("part", "both"):
            fields["credits"] = credits = self.chance.randint(0, credits - 1)
        if manner in ("other", "both"):
            backend = "gemini" if backend == "hardware" else "hardware"
            fields["backend"] = backend
        asked = call("settle", reservation=reservation.id, **fields)
        called_at = time.time()
        answer = self.ask(reservation.install, asked, *self.reasons_not_to_settle(reservation),
                          *(["gemini_cap_exceeded"] if fields.get("backend") == "gemini" else []))
        if answer.status == 200:
            assert reservation.contested or (
                called_at <= reservation.expires_at + CLOCK_MARGIN_S), f"late: {reservation}"
            self.books.note_settled(reservation, backend, credits)
            if self.chance.random() < 0.2:
                again = self.ask(reservation.install, asked)
                assert again.json == answer.json, f"{asked} again: {again.body}, {answer.body}"
        elif answer.json["code"] == "reservation_expired":
            assert time.time() >= reservation.expires_at - CLOCK_MARGIN_S, f"early: {reservation}"
            self.books.expired.add(reservation.id)
            if reservation.install.pays_after_expiry and self.chance.random() < 0.8:
                self.pay(reservation)
        elif answer.json["code"] == "gemini_cap_exceeded":
            self.settle(reservation, "full")

    def reasons_not_to_settle(self, reservation):
        others = ["reservation_released", "reservation_settled"] if reservation.contested else []
        return ["reservation_expired", *others]

    def pay(self, reservation):
        asked = call("commit", key=reservation.id, tier=reservation.install.tier,
                     backend=reservation.backend, credits=reservation.credits)
        self.books.note_overdraft(reservation)
        for _ in range(1 + (self.chance.random() < 0.5)):
            self.ask(reservation.install, asked)
        self.books.paid_after_expiry[reservation.id] = reservation.backend, reservation.credits


def observe(number, seed, service, books, installs, over):
    """Reads, and checks that an install never goes back."""
    chance = random.Random(f"{seed}/observer/{number}")
    client = PatientClient(service, chance)
    newest = {}  # install id -> last answer
    try:
        while not over.is_set():
            install = chance.choice(installs())
            answer = client.ask(install.id, call("get"))
            assert answer.status == 200, f"{install.id}: {answer.body}"
            shown = answer.json
            check_caps(install, shown, books)
            books.note_answer(install, shown)
            before = newest.get(install.id, shown)
            assert before["version"] <= shown["version"], f"back from {before} to {shown}"
            assert consumed(install, before) <= consumed(install, shown), f"{before}, {shown}"
            newest[install.id] = shown
    finally:
        client.close()


def create(service, groups):
    """Each install gets its tier by a first commit of one credit."""
    client = PatientClient(service, random.Random(0))
    for install in [install for group in groups for install in group]:
        asked = call("commit", key="first", tier=install.tier, backend="hardware", credits=1)
        answer = client.ask(install.id, asked)
        assert (answer.status, answer.json["version"]) == (200, 1), answer.body
    client.close()


def kill_at_random(service, books, threads, chance):
    for _ in range(KILLS):
        before = books.answers
        time.sleep(chance.uniform(0.4, 1.4))
        wait_until(lambda: books.answers > before + 200 or threads.failures, "200 answers")
        if threads.failures:
            return
        service.crash()
    time.sleep(0.8)


def spend_through_crashes(service, seed):
    """Returns the books and the installs."""
    books = Books()
    groups = [group_of_installs(number) for number in range(GROUPS)]
    create(service, groups)
    began = time.monotonic()

    def installs():
        return groups[min(GROUPS - 1, int((time.monotonic() - began) / GROUP_S))]

    def spend(number, over):
        Spender(number, seed, service, books, installs).run(over)

    def watch(number, over):
        observe(number, seed, service, books, installs, over)

    threads = Threads([spend] * CLIENTS + [watch] * OBSERVERS)
    try:
        kill_at_random(service, books, threads, random.Random(f"{seed}/kills"))
    finally:
        threads.end()
    return books, [install for group in groups for install in group]


# --- afterwards: the books and the audit trail


def release_the_rest(client, books):
    for reservation in books.reserved.values():
        if reservation.id not in books.settled.keys() | books.released | books.expired:
            url = f"{path_of(reservation.install.id)}/reservations/{reservation.id}"
            answer = client.request("DELETE", url)
            assert answer.status == 200, f"{reservation}: {answer.body}"
            books.released.add(reservation.id)


def debit(entry):
    return entry["backend"], entry["credits"]


def check_same(what, install, written, answered):
    assert written == answered, (f"{what} of {install.id}: {dict(written - answered)} not "
                                 f"answered, {dict(answered - written)} not written")


def check_each_is_there_once(install, entries, books):
    """Checks that the trail has every acknowledged call once, and nothing else."""
    mine = {r.id: r for r in books.reserved.values() if r.install == install}
    reserved = Counter((e["reservation_id"], e["idempotency_key"], *debit(e))
                       for e in entries if e["kind"] == "reserve")
    answered = Counter((r.id, r.key, r.backend, r.credits) for r in mine.values())
    check_same("reserves", install, reserved, answered)
    keys = Counter(e["idempotency_key"] for e in entries if e["idempotency_key"] is not None)
    doubled = [key for key, count in keys.items() if count > 1]
    assert not doubled, f"{install.id}: done more than once: {doubled}"
    refused = [key for key in keys if (install.id, key) in books.refused_keys]
    assert not refused, f"{install.id}: done, though answered 402: {refused}"
    settled = Counter((e["reservation_id"], *debit(e)) for e in entries if e["kind"] == "settle")
    answered = Counter((rid, *done) for rid, done in books.settled.items() if rid in mine)
    check_same("settles", install, settled, answered)
    commits = Counter((e["idempotency_key"], *debit(e)) for e in entries if e["kind"] == "commit")
    paid = [(rid, *done) for rid, done in books.paid_after_expiry.items() if rid in mine]
    check_same("commits", install, commits, Counter([("first", "hardware", 1), *paid]))
    check_endings(mine, entries, books)


def check_endings(mine, entries, books):
    """Checks that each has ended once, and as answered."""
    ended = {rid: [] for rid in mine}
    for entry in entries:
        if entry["kind"] in ENDINGS:
            ended[entry["reservation_id"]].append(entry["kind"])
    for rid, kinds in ended.items():
        assert kinds in ways_to_have_ended(mine[rid], books), f"{mine[rid]} ended as {kinds}"


def ways_to_have_ended(reservation, books):
    if reservation.id in books.settled:
        released = reservation.id in books.released | books.expired
        return [] if released else [["settle"]]
    if reservation.id in books.expired:
        return [["expire"]]
    # An expired one can also be released, and stays expired.
    expires = reservation.expires_at < time.time() + CLOCK_MARGIN_S
    return [["release"], ["expire"]] if expires else [["release"]]


class Replay:
    """Replays an install's trail entry by entry; no hold may exceed a cap at any point."""

    def __init__(self, install, books):
        self.install = install
        self.books = books
        self.consumed = {"hardware": 0, "gemini": 0}
        self.holds = {}  # reservation id -> (backend, credits)

    def gemini_room(self):
        held = sum(credits for backend, credits in self.holds.values() if backend == "gemini")
        return GEMINI_CAP[self.install.tier] - self.consumed["gemini"] - held

    def room(self):
        held = sum(credits for _, credits in self.holds.values())
        return CAP[self.install.tier] - sum(self.consumed.values()) - held

    def apply(self, entry):
        if entry["kind"] in ENDINGS:
            held_by, _ = self.holds.pop(entry["reservation_id"])
            if entry["kind"] == "settle" and debit(entry)[0] == "gemini" != held_by:
                # Plain commits may have exceeded the cap, and 0 credits need no room.
                room = max(0, self.gemini_room())
                assert entry["credits"] <= room, f"over the Gemini cap: {entry}"
        if entry["kind"] == "reserve":
            assert entry["credits"] <= self.room(), f"over the cap: {entry}"
            fits = entry["credits"] <= self.gemini_room()
            assert entry["backend"] == ("gemini" if fits else "hardware"), entry
            assert fits or self.books.reserved[entry["reservation_id"]].has_hardware, entry
            self.holds[entry["reservation_id"]] = debit(entry)
        if entry["kind"] in ("commit", "settle"):
            self.consumed[entry["backend"]] += entry["credits"]
        if entry["kind"] in ("commit", "settle", "reserve"):
            assert entry["counter"] == COUNTER[self.install.tier], entry
            assert entry["tier"] == self.install.tier, entry


def check_trail(install, entries, shown, books):
    versions = [e["version"] for e in entries]
    assert versions == list(range(1, len(entries) + 1)), f"{install.id} has a gap: {versions}"
    assert shown["version"] == len(entries), f"{len(entries)} entries make {shown}"
    newest = books.seen[install.id]
    assert newest <= shown["version"], f"{install.id}: version {newest} was shown, and is gone"
    check_each_is_there_once(install, entries, books)
    replay = Replay(install, books)
    for entry in entries:
        replay.apply(entry)
    gemini = replay.consumed["gemini"]
    total = gemini + replay.consumed["hardware"]
    assert consumed(install, shown) == (total, gemini), f"{replay.consumed} makes {shown}"
    assert replay.holds == {}, f"{install.id}: still held: {replay.holds}"
    assert shown["balance"]["held"] == 0, shown
    check_caps(install, shown, books)


def check_ledger(client, books, installs):
    release_the_rest(client, books)
    for install in installs:
        shown = client.get(path_of(install.id)).json
        check_trail(install, all_entries(client, install.id), shown, books)
    # Checks that the traffic had the intended variety.
    assert books.settled and books.released and books.refused_keys
    assert books.expired and books.paid_after_expiry


def check_files(data_dir):
    creditsctl = Path(creditsd.BINARY).with_name("creditsctl")
    if creditsctl.exists():
        ended = subprocess.run([creditsctl, "check", data_dir], text=True,
                               env=creditsd.environment(None), capture_output=True,
                               stdin=subprocess.DEVNULL, timeout=creditsd.TIMEOUT_S)
        assert ended.returncode == 0, ended.stdout + ended.stderr


def wait_out_the_end_of_a_month():
    """The monthly counters of `pro` have to stay in one month."""
    while (datetime.now(timezone.utc) + timedelta(minutes=2)).day == 1 and (
            datetime.now(timezone.utc).day > 1):
        time.sleep(1)


@pytest.mark.parametrize("seed", seeds())
def test_no_cap_is_exceeded_and_nothing_is_lost_or_doubled_through_crashes(seed, start, connect, data_dir, tmp_path):
    wait_out_the_end_of_a_month()
    quota_path = tmp_path / "quota.json"
    quota_path.write_text(json.dumps(QUOTA))
    with rerunnable(seed, __file__):
        service = Service(start, "--quota", quota_path)
        books, installs = spend_through_crashes(service, seed)
        check_ledger(connect(service), books, installs)
        service.stop()
        check_files(data_dir)
