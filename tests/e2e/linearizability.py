"""Decides whether several clients' views of one install are consistent with some sequential order.

Wing and Gong's search, with Lowe's memoisation: it remembers each set of completed operations, with the
state that they led to."""

from typing import NamedTuple

from reserving import Call

SEARCH_LIMIT = 1_000_000  # states; a history with versions needs a few per operation


class Caps(NamedTuple):
    total: int
    gemini: int


class Answer(NamedTuple):
    """The contents of an answer; None for fields that its kind does not have."""

    status: int
    code: str | None = None
    version: int | None = None
    consumed: int | None = None
    gemini: int | None = None
    held: int | None = None
    remaining: int | None = None
    gemini_remaining: int | None = None
    reservation: str | None = None
    backend: str | None = None
    credits: int | None = None
    replayed: bool = False


class Operation(NamedTuple):
    """A call without an answer is in doubt: it may take effect at any time after `called`, or never."""

    call: Call
    called: int
    returned: int | None = None
    answer: Answer | None = None


class State(NamedTuple):
    version: int = 1
    consumed: int = 0
    gemini: int = 0
    held: frozenset = frozenset()  # (reservation, credits, backend)
    ended: frozenset = frozenset()  # (reservation, the call that ended it, its answer)
    keys: frozenset = frozenset()  # (key, call, answer)

    def held_credits(self, backends=("gemini", "hardware")):
        return sum(credits for _, credits, backend in self.held if backend in backends)


def balance(state, caps):
    held = state.held_credits()
    return {"held": held, "remaining": max(0, caps.total - state.consumed - held),
            "gemini_remaining": max(0, caps.gemini - state.gemini -
                                    state.held_credits(["gemini"]))}


def install(state, caps):
    return Answer(200, version=state.version, consumed=state.consumed, gemini=state.gemini,
                  **balance(state, caps))


def debited(state, backend, credits, **changes):
    return state._replace(version=state.version + 1, consumed=state.consumed + credits,
                          gemini=state.gemini + credits * (backend == "gemini"), **changes)


def find(things, name):
    return next((thing for thing in things if thing[0] == name), None)


def get(state, _call, caps, _new_id):
    return [(state, install(state, caps))]


def commit(state, call, caps, _new_id):
    fields = dict(call.fields)
    after = debited(state, fields["backend"], fields.get("credits", 1))
    return [(after, install(after, caps))]


def reserve(state, call, caps, new_id):
    fields = dict(call.fields)
    credits, room = fields.get("credits", 1), balance(state, caps)
    if room["remaining"] < credits:
        return [(state, Answer(402, "out_of_credits"))]
    if room["gemini_remaining"] < credits and not fields["has_hardware"]:
        return [(state, Answer(402, "gemini_cap_exceeded_no_hardware"))]
    if find(state.held | state.ended, new_id):
        return []
    backend = "gemini" if room["gemini_remaining"] >= credits else "hardware"
    after = state._replace(version=state.version + 1,
                           held=state.held | {(new_id, credits, backend)})
    return [(after, Answer(201, reservation=new_id, backend=backend, credits=credits,
                           **balance(after, caps)))]


def settle(state, call, caps, _new_id):
    if found := find(state.ended, call.reservation):
        _, ending, answer = found
        if ending == call:
            return [(state, answer)]
        return [(state, Answer(409, f"reservation_{ending.kind}d"))]
    if not (hold := find(state.held, call.reservation)):
        return [(state, Answer(404, "unknown_reservation"))]
    _, credits, held_backend = hold
    fields = dict(call.fields)
    backend, credits = fields.get("backend", held_backend), fields.get("credits", credits)
    changes_to_gemini = backend == "gemini" != held_backend
    if changes_to_gemini and balance(state, caps)["gemini_remaining"] < credits:
        return [(state, Answer(409, "gemini_cap_exceeded"))]
    freed = debited(state, backend, credits, held=state.held - {hold})
    answer = install(freed, caps)
    return [(freed._replace(ended=state.ended | {(call.reservation, call, answer)}), answer)]


def release(state, call, caps, _new_id):
    if found := find(state.ended, call.reservation):
        _, ending, answer = found
        if ending.kind == "settle":
            return [(state, Answer(409, "reservation_settled"))]
        # The contract allows either answer to a repeated release.
        return [(state, answer), (state, install(state, caps))]
    if not (hold := find(state.held, call.reservation)):
        return [(state, Answer(404, "unknown_reservation"))]
    freed = state._replace(version=state.version + 1, held=state.held - {hold})
    answer = install(freed, caps)
    return [(freed._replace(ended=state.ended | {(call.reservation, call, answer)}), answer)]


RULES = {"get": get, "commit": commit, "reserve": reserve, "settle": settle, "release": release}


def apply(state, call, caps, new_id):
    """Yields every possible (state, answer). `new_id` is for the reservation that this call may make."""
    if known := find(state.keys, call.key):
        _, first, answer = known
        return [(state, answer._replace(replayed=True) if call == first
                 else Answer(422, "idempotency_key_reused"))]
    outcomes = RULES[call.kind](state, call, caps, new_id)
    if call.key is None:
        return outcomes
    return [(after._replace(keys=after.keys | {(call.key, call, answer)})
             if answer.status < 300 else after, answer) for after, answer in outcomes]


class _Search:
    def __init__(self, history, caps):
        self.history = sorted(history, key=lambda operation: operation.called)
        self.caps = caps
        self.answered = [(n, op) for n, op in enumerate(self.history) if op.answer is not None]
        told = {op.call: op.answer.reservation for _, op in self.answered
                if op.call.key is not None and op.answer.reservation is not None}
        self.new_ids = [op.answer.reservation if op.answer else told.get(op.call, f"?{n}")
                        for n, op in enumerate(self.history)]

    def run(self, initial):
        """Returns None, or the path that came farthest."""
        ways, seen, farthest = [(0, initial)], set(), (0, initial)
        while ways:
            done, state = self._with_all_that_change_nothing(*ways.pop())
            if all(done >> n & 1 for n, _ in self.answered):
                return None
            if (done, state) in seen:
                continue
            seen.add((done, state))
            assert len(seen) < SEARCH_LIMIT, f"undecided after {SEARCH_LIMIT} states"
            farthest = max(farthest, (done, state), key=lambda way: way[0].bit_count())
            nexts = [(op.answer is not None, n, after) for n, op in self.candidates(done)
                     for after in self._steps(n, op, state) if after != state]
            # Calls in doubt are tried last, because most of them need not have taken effect.
            nexts.sort(key=lambda step: step[0])
            ways += [(done | 1 << n, after) for _, n, after in nexts]
        return farthest

    def candidates(self, done):
        """The pending calls that were called before any other pending call returned."""
        horizon = min(op.returned for n, op in self.answered if not done >> n & 1)
        return [(n, op) for n, op in enumerate(self.history)
                if op.called <= horizon and not done >> n & 1]

    def _steps(self, n, op, state):
        return [after for after, answer in apply(state, op.call, self.caps, self.new_ids[n])
                if op.answer in (None, answer)]

    def _with_all_that_change_nothing(self, done, state):
        """Calls that may come next and change nothing: delaying them gains nothing."""
        while not all(done >> n & 1 for n, _ in self.answered):
            found = [n for n, op in self.candidates(done)
                     if op.answer is not None and state in self._steps(n, op, state)]
            if not found:
                break
            for n in found:
                done |= 1 << n
        return done, state


def why_not(history, caps, initial=State()):
    """Returns None if the history is linearizable; otherwise where the longest attempt got stuck."""
    search = _Search(history, caps)
    farthest = search.run(initial)
    if farthest is None:
        return None
    done, state = farthest
    lines = [f"not linearizable: after {done.bit_count()} of {len(history)} operations comes "
             f"none of these. The state: {install(state, caps)}"]
    for n, op in search.candidates(done):
        allowed = [answer for _, answer in apply(state, op.call, caps, search.new_ids[n])]
        lines.append(f"{op.call}\n    answered {op.answer}\n    allowed  {allowed}")
    return "\n".join(lines)
