"""Concurrent clients see one install as if all calls had happened in sequence; and the checker of that is
correct."""

import itertools
import json
import random
import threading
import time

import pytest

import creditsd
from creditsd import wait_until
from linearizability import Answer, Caps, Operation, State, apply, why_not
from reserving import PatientClient, Service, Threads, call, rerunnable, seeds
from traffic import path_of

CAPS = Caps(total=80, gemini=30)
QUOTA = {"core": {"lifetime": CAPS.total, "geminiCapLifetime": CAPS.gemini}}
CLIENTS = 8
OPERATIONS = 40  # per client and round
ROUNDS = 3

# --- the checker, on histories made by hand

GET = call("get")
PAY_1 = call("commit", backend="gemini", tier="core", credits=1)
PAY_2 = call("commit", backend="hardware", tier="core", credits=2)
KEYED = call("commit", key="k", backend="hardware", tier="core", credits=2)
KEYED_OTHERWISE = call("commit", key="k", backend="hardware", tier="core", credits=3)
HOLD_50 = call("reserve", tier="core", has_hardware=True, credits=50)
HOLD_9 = call("reserve", tier="core", has_hardware=True, credits=9)
KEYED_HOLD_9 = call("reserve", key="h", tier="core", has_hardware=True, credits=9)
SETTLE = call("settle", reservation="r")
SETTLE_4 = call("settle", reservation="r", credits=4)
RELEASE = call("release", reservation="r")


def shown(version, consumed, gemini, held=0, gemini_held=0, replayed=False):
    return Answer(200, version=version, consumed=consumed, gemini=gemini, held=held,
                  remaining=max(0, CAPS.total - consumed - held),
                  gemini_remaining=max(0, CAPS.gemini - gemini - gemini_held), replayed=replayed)


def made(rid, credits, held, backend="gemini", gemini_held=0, replayed=False):
    return Answer(201, reservation=rid, backend=backend, credits=credits, held=held,
                  remaining=CAPS.total - held, gemini_remaining=CAPS.gemini - gemini_held,
                  replayed=replayed)


def history(*rows):
    """Makes a history from (call, called, returned, answer); in doubt without the last two."""
    return [Operation(*row) for row in rows]


EMPTY = shown(1, 0, 0)
REFUSED = Answer(402, "out_of_credits")
HELD_9 = (HOLD_9, 1, 2, made("r", 9, held=9, gemini_held=9))
HELD_50 = (HOLD_50, 1, 2, made("r", 50, held=50, backend="hardware"))

GOOD = {
    "nothing": [],
    "one-after-the-other": [(GET, 1, 2, EMPTY), (PAY_1, 3, 4, shown(2, 1, 1)),
                            (GET, 5, 6, shown(2, 1, 1))],
    "a-read-that-overlaps-sees-the-old": [(PAY_1, 1, 9, shown(2, 1, 1)), (GET, 2, 3, EMPTY)],
    "a-read-that-overlaps-sees-the-new": [(PAY_1, 1, 9, shown(2, 1, 1)),
                                          (GET, 2, 3, shown(2, 1, 1))],
    "the-later-called-is-first": [(PAY_1, 1, 9, shown(3, 3, 1)), (PAY_2, 2, 8, shown(2, 2, 0))],
    "touching-intervals-overlap": [(PAY_1, 1, 2, shown(3, 3, 1)), (PAY_2, 2, 3, shown(2, 2, 0))],
    "in-doubt-and-never-done": [(PAY_1, 1), (GET, 5, 6, EMPTY)],
    "in-doubt-and-done": [(PAY_1, 1), (GET, 5, 6, shown(2, 1, 1))],
    "in-doubt-and-done-late": [(PAY_1, 1), (GET, 5, 6, EMPTY), (GET, 7, 8, shown(2, 1, 1))],
    "in-doubt-and-unseen": [(GET, 1, 2, EMPTY), (PAY_1, 3)],
    "of-two-in-doubt-the-second": [(PAY_1, 1), (PAY_2, 2), (GET, 5, 6, shown(2, 2, 0))],
    "retried-and-not-done-before": [(KEYED, 1), (KEYED, 5, 6, shown(2, 2, 0))],
    "retried-and-done-before": [(KEYED, 1), (KEYED, 5, 6, shown(2, 2, 0, replayed=True))],
    "replayed-as-it-was": [(KEYED, 1, 2, shown(2, 2, 0)), (PAY_1, 3, 4, shown(3, 3, 1)),
                           (KEYED, 5, 6, shown(2, 2, 0, replayed=True))],
    "key-reused": [(KEYED, 1, 2, shown(2, 2, 0)),
                   (KEYED_OTHERWISE, 3, 4, Answer(422, "idempotency_key_reused"))],
    "two-of-one-key-at-once": [(KEYED, 1, 9, shown(2, 2, 0, replayed=True)),
                               (KEYED, 2, 8, shown(2, 2, 0))],
    "a-commit-passes-the-cap": [
        (call("commit", backend="hardware", credits=99), 1, 2, shown(2, 99, 0)),
        (HOLD_9, 3, 4, REFUSED)],
    "held-then-settled": [HELD_9, (SETTLE, 3, 4, shown(3, 9, 9))],
    "settled-in-part-and-again": [HELD_9, (SETTLE_4, 3, 4, shown(3, 4, 4)),
                                  (PAY_2, 5, 6, shown(4, 6, 4)), (SETTLE_4, 7, 8, shown(3, 4, 4))],
    "settled-by-hardware": [HELD_9, (call("settle", reservation="r", backend="hardware"), 3, 4,
                                     shown(3, 9, 0))],
    "no-room-on-gemini": [HELD_50, (call("settle", reservation="r", backend="gemini"), 3, 4,
                                    Answer(409, "gemini_cap_exceeded"))],
    "settled-before-released": [HELD_9, (RELEASE, 3, 9, Answer(409, "reservation_settled")),
                                (SETTLE, 4, 8, shown(3, 9, 9))],
    "released-before-settled": [HELD_9, (RELEASE, 3, 9, shown(3, 0, 0)),
                                (SETTLE, 4, 8, Answer(409, "reservation_released"))],
    "released-twice-as-it-was": [HELD_9, (RELEASE, 3, 4, shown(3, 0, 0)),
                                 (PAY_1, 5, 6, shown(4, 1, 1)), (RELEASE, 7, 8, shown(3, 0, 0))],
    "released-twice-as-it-is": [HELD_9, (RELEASE, 3, 4, shown(3, 0, 0)),
                                (PAY_1, 5, 6, shown(4, 1, 1)), (RELEASE, 7, 8, shown(4, 1, 1))],
    "unknown-reservation": [(SETTLE, 1, 2, Answer(404, "unknown_reservation"))],
    "refused-for-what-is-held": [HELD_50, (HOLD_50, 3, 4, REFUSED)],
    "refused-while-held": [HELD_50, (HOLD_50, 3, 9, REFUSED), (RELEASE, 4, 8, shown(3, 0, 0))],
    "a-hold-in-doubt-refuses": [(HOLD_50, 1), (HOLD_50, 5, 6, REFUSED)],
    "a-hold-in-doubt-that-its-retry-names": [
        (KEYED_HOLD_9, 1), (GET, 2, 3, shown(2, 0, 0, held=9, gemini_held=9)),
        (KEYED_HOLD_9, 5, 6, made("r", 9, held=9, gemini_held=9, replayed=True)),
        (SETTLE, 7, 8, shown(3, 9, 9))],
}

BAD = {
    "stale-read": [(PAY_1, 1, 2, shown(2, 1, 1)), (GET, 3, 4, EMPTY)],
    "two-reads-that-go-back": [(PAY_1, 1, 9, shown(2, 1, 1)), (GET, 2, 3, shown(2, 1, 1)),
                               (GET, 4, 5, EMPTY)],
    "read-of-the-future": [(GET, 1, 2, shown(2, 1, 1)), (PAY_1, 3, 4, shown(2, 1, 1))],
    "read-of-the-future-in-doubt": [(GET, 1, 2, shown(2, 1, 1)), (PAY_1, 3)],
    "lost-update": [(PAY_1, 1, 5, shown(2, 1, 1)), (PAY_2, 2, 6, shown(2, 2, 0))],
    "lost-update-seen-later": [(PAY_1, 1, 5, shown(2, 1, 1)), (PAY_2, 2, 6, shown(3, 3, 1)),
                               (GET, 7, 8, shown(2, 2, 0))],
    "two-at-one-version": [(PAY_1, 1, 5, shown(2, 1, 1)), (PAY_1, 2, 6, shown(2, 1, 1))],
    "against-real-time": [(PAY_1, 1, 2, shown(3, 3, 1)), (PAY_2, 3, 4, shown(2, 2, 0))],
    "version-too-high": [(PAY_1, 1, 2, shown(3, 1, 1))],
    "version-too-low": [(PAY_1, 1, 2, shown(1, 1, 1))],
    "wrong-counter": [(PAY_1, 1, 2, shown(2, 1, 0))],
    "wrong-remaining": [(GET, 1, 2, EMPTY._replace(remaining=79))],
    "wrong-gemini-remaining": [(GET, 1, 2, EMPTY._replace(gemini_remaining=29))],
    "done-twice": [(PAY_1, 1), (GET, 5, 6, shown(3, 2, 2))],
    "in-doubt-done-and-undone": [(PAY_1, 1), (GET, 5, 6, shown(2, 1, 1)), (GET, 7, 8, EMPTY)],
    "retry-debits-again": [(KEYED, 1, 2, shown(2, 2, 0)), (KEYED, 3, 4, shown(3, 4, 0))],
    "retry-after-doubt-debits-again": [(KEYED, 1), (GET, 2, 3, shown(2, 2, 0)),
                                       (KEYED, 5, 6, shown(3, 4, 0))],
    "replay-that-does-not-say-so": [(KEYED, 1, 2, shown(2, 2, 0)), (KEYED, 3, 4, shown(2, 2, 0))],
    "first-that-says-replayed": [(KEYED, 1, 2, shown(2, 2, 0, replayed=True))],
    "replay-of-the-row-as-it-is": [(KEYED, 1, 2, shown(2, 2, 0)), (PAY_1, 3, 4, shown(3, 3, 1)),
                                   (KEYED, 5, 6, shown(3, 3, 1, replayed=True))],
    "key-reused-and-done": [(KEYED, 1, 2, shown(2, 2, 0)),
                            (KEYED_OTHERWISE, 3, 4, shown(3, 5, 0))],
    "over-the-cap": [HELD_50, (HOLD_50, 3, 4, made("s", 50, held=100, backend="hardware"))],
    "over-the-cap-at-once": [(HOLD_50, 1, 8, made("r", 50, held=50, backend="hardware")),
                             (HOLD_50, 2, 9, made("s", 50, held=50, backend="hardware"))],
    "over-the-gemini-cap": [
        HELD_9, (HOLD_50, 3, 4, made("s", 50, held=59, backend="gemini", gemini_held=59))],
    "refused-with-room": [HELD_9, (HOLD_9, 3, 4, REFUSED)],
    "refused-after-the-release": [HELD_50, (RELEASE, 3, 4, shown(3, 0, 0)),
                                  (HOLD_50, 5, 6, REFUSED)],
    "no-hardware-asked-and-used": [
        (call("reserve", has_hardware=False, credits=50), 1, 2,
         made("r", 50, held=50, backend="hardware"))],
    "held-twice-by-one-name": [HELD_9, (HOLD_9, 3, 4, made("r", 9, held=9, gemini_held=9))],
    "settled-and-released": [HELD_9, (SETTLE, 3, 9, shown(3, 9, 9)),
                             (RELEASE, 4, 8, shown(3, 0, 0))],
    "settled-twice": [HELD_9, (SETTLE, 3, 4, shown(3, 9, 9)), (SETTLE, 5, 6, shown(4, 18, 18))],
    "settled-in-two-ways": [HELD_9, (SETTLE, 3, 9, shown(3, 9, 9)),
                            (SETTLE_4, 4, 8, shown(3, 4, 4))],
    "settled-and-still-held": [HELD_9, (SETTLE, 3, 4, shown(3, 9, 9)),
                               (GET, 5, 6, shown(3, 9, 9, held=9, gemini_held=9))],
    "settled-before-it-was-made": [(SETTLE, 1, 2, shown(3, 9, 9)), (HOLD_9, 3, 4, HELD_9[3])],
    "hold-forgotten": [HELD_9, (GET, 3, 4, EMPTY)],
    "forgotten-in-a-crash": [HELD_9, (PAY_1, 5), (GET, 7, 8, EMPTY),
                             (SETTLE, 9, 10, Answer(404, "unknown_reservation"))],
}


@pytest.mark.parametrize("name", GOOD)
def test_the_checker_accepts_possible_histories(name):
    assert why_not(history(*GOOD[name]), CAPS) is None


@pytest.mark.parametrize("name", BAD)
def test_the_checker_refuses_impossible_histories(name):
    assert "not linearizable" in why_not(history(*BAD[name]), CAPS)


def by_every_order(operations):
    """Whether the history is linearizable, by trying every order of every choice of calls in doubt."""
    doubtful = [op for op in operations if op.answer is None]
    answered = [op for op in operations if op.answer is not None]
    choices = itertools.chain.from_iterable(
        itertools.combinations(doubtful, count) for count in range(len(doubtful) + 1))
    return any(can_be_in_order(order) for chosen in choices
               for order in itertools.permutations([*answered, *chosen]))


def can_be_in_order(order):
    for earlier, later in itertools.combinations(order, 2):
        if later.returned is not None and later.returned < earlier.called:
            return False
    states = [State()]
    for op in order:
        new_id = op.answer.reservation if op.answer else f"made at {op.called}"
        outcomes = [outcome for state in states for outcome in apply(state, op.call, CAPS, new_id)]
        states = [after for after, answer in outcomes if op.answer in (None, answer)]
    return bool(states)


def random_history(chance, count):
    """Operations that take effect at a random moment between call and answer; some answers get lost, and some
    belong to another moment."""
    calls = [GET, PAY_1, PAY_2, KEYED, KEYED_OTHERWISE, HOLD_50, HOLD_9, SETTLE, SETTLE_4, RELEASE]
    spans = sorted((sorted(chance.sample(range(100), 3)) for _ in range(count)),
                   key=lambda span: span[1])
    operations, states = [], [State()]
    for n, (called, _, returned) in enumerate(spans):
        asked = chance.choice(calls)
        new_id = "r" if not states[-1].held | states[-1].ended else f"r{n}"
        judged_on = chance.choice(states) if chance.random() < 0.1 else states[-1]
        after, answer = chance.choice(apply(judged_on, asked, CAPS, new_id))
        if chance.random() < 0.9:
            states.append(after)
        lost = chance.random() < 0.2 and answer.status != 201
        operations.append(Operation(asked, called, *([] if lost else [returned, answer])))
    return operations


def test_the_checker_agrees_with_trying_every_order():
    verdicts = []
    for number in range(600):
        operations = random_history(random.Random(number), 5)
        expected = by_every_order(operations)
        reason = why_not(operations, CAPS)
        assert (reason is None) == expected, f"history {number}: {operations}\n{reason}"
        verdicts.append(expected)
    assert 100 < sum(verdicts) < 500


def test_the_checker_copes_with_long_histories():
    """All calls overlap, so that only the answers determine the order."""
    chance = random.Random(1)
    state, operations = State(), []
    for n in range(300):
        asked = chance.choice([GET, PAY_1, HOLD_9, call("release", reservation=f"r{n - 1}")])
        state, answer = apply(state, asked, CAPS, f"r{n}")[0]
        operations.append(Operation(asked, n, n + 16, answer))
    assert why_not(operations, CAPS) is None
    operations[200:200] = history((PAY_2, 200, 216, shown(999, 2, 0)))
    assert "not linearizable" in why_not(operations, CAPS)


# --- histories recorded over HTTP


def contents_of(asked, answer):
    """The part of an answer that the checker compares."""
    body = answer.json
    if answer.status >= 400:
        return Answer(answer.status, body["code"])
    balance = body["balance"]
    common = {"held": balance["held"], "remaining": balance["remaining"],
              "gemini_remaining": balance["gemini_remaining"],
              "replayed": asked.key is not None and "Idempotency-Replayed" in answer.headers}
    if asked.kind == "reserve":
        return Answer(answer.status, reservation=body["reservation_id"], backend=body["backend"],
                      credits=body["credits"], **common)
    return Answer(answer.status, version=body["version"], consumed=body["lifetime_consumed"],
                  gemini=body["lifetime_gemini_consumed"], **common)


class Round:
    """One install, with the clients' calls and their times."""

    def __init__(self, service, install_id, seed):
        self.service = service
        self.install_id = install_id
        self.seed = seed
        self.history = []
        self.made = []  # answers that made a reservation
        self.keyed = []
        self.barrier = threading.Barrier(CLIENTS)

    def start(self):
        with_one = creditsd.Client(self.service.port)
        created = with_one.put(path_of(self.install_id))
        with_one.close()
        assert created.status == 201, created.body
        return Threads([self.run] * CLIENTS)

    def run(self, number, over):
        chance = random.Random(f"{self.seed}/{self.install_id}/{number}")
        client = PatientClient(self.service, chance)
        self.barrier.wait(creditsd.TIMEOUT_S)
        try:
            for n in range(OPERATIONS):
                if over.is_set():
                    return
                asked = self.next_call(chance, f"{number}-{n}")
                if self.record(client, asked) is None and chance.random() < 0.6:
                    self.record(client, asked)
        finally:
            client.close()

    def record(self, client, asked):
        """Returns None if there was no answer."""
        called = time.monotonic_ns()
        answer = client.ask_once(self.install_id, asked)
        returned = time.monotonic_ns()
        if answer is None or answer.status == 503:
            self.history.append(Operation(asked, called))
            return None
        contents = contents_of(asked, answer)
        if contents.status == 201:
            self.made.append(contents)
        self.history.append(Operation(asked, called, returned, contents))
        return contents

    def next_call(self, chance, name):
        kind = chance.choices(["get", "commit", "reserve", "settle", "release", "again"],
                              [25, 8, 32, 12, 18, 5])[0]
        if kind == "again" and self.keyed:
            return self.again(chance)
        if kind in ("settle", "release") and self.made:
            return self.ending(kind, chance)
        if kind == "commit":
            asked = call("commit", key=chance.choice([None, name]), tier="core",
                         backend=chance.choice(["gemini", "hardware"]),
                         credits=chance.randint(1, 2))
        elif kind == "reserve":
            asked = call("reserve", key=chance.choice([None, name]), tier="core",
                         has_hardware=chance.random() < 0.7, credits=chance.randint(1, 9))
        else:
            return GET
        if asked.key is not None:
            self.keyed.append(asked)
        return asked

    def again(self, chance):
        asked = chance.choice(self.keyed[-CLIENTS:])
        if chance.random() < 0.8:
            return asked
        return call(asked.kind, key=asked.key, **{**dict(asked.fields), "credits": 10})

    def ending(self, kind, chance):
        """Picks one of the newest reservations, which others are likely to end too."""
        reservation = chance.choice(self.made[-CLIENTS:])
        fields = {}
        if kind == "settle" and chance.random() < 0.6:
            fields["credits"] = chance.randint(0, reservation.credits - 1)
        elif kind == "settle" and chance.random() < 0.5:
            fields["backend"] = "gemini" if reservation.backend == "hardware" else "hardware"
        return call(kind, reservation=reservation.reservation, **fields)

    def check(self):
        problem = why_not(self.history, CAPS)
        assert problem is None, f"{self.install_id}: {problem}"


@pytest.fixture
def service(start, tmp_path):
    quota_path = tmp_path / "quota.json"
    quota_path.write_text(json.dumps(QUOTA))
    return Service(start, "--quota", quota_path)


@pytest.mark.parametrize("seed", seeds())
def test_what_concurrent_clients_see_is_linearizable(seed, service):
    with rerunnable(seed, __file__):
        for number in range(ROUNDS):
            one = Round(service, f"round-{number}", seed)
            one.start().join()
            assert len(one.history) == CLIENTS * OPERATIONS
            assert all(op.answer is not None for op in one.history)
            one.check()


@pytest.mark.parametrize("seed", seeds())
def test_what_concurrent_clients_see_through_a_kill_is_linearizable(seed, service):
    chance = random.Random(f"{seed}/kills")
    with rerunnable(seed, __file__):
        for number in range(ROUNDS):
            one = Round(service, f"killed-{number}", seed)
            threads = one.start()
            count = chance.randrange(CLIENTS, CLIENTS * OPERATIONS - 2 * CLIENTS)
            try:
                wait_until(lambda: len(one.history) >= count or threads.failures,
                           f"operation {count}")
                if not threads.failures:
                    service.crash()
            finally:
                threads.join()
            one.check()
