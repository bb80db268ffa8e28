"""The judge. He takes the server's word for who is connected, a hundred times a second, and the ledger's for nothing
but what he compares with it.

Never over: at each moment the fleet has no more backends than the bound, and the server, whose max_connections leaves
room for LIMIT of them and no more, refuses nobody. The bound is the limit; and

- while a change of the limit is under way, the higher one;
- after it was lowered, as many as the ledger counted when last looked at: none is granted until the limit is honoured,
  and that number only goes down.

Who is not counted against it (an Excuse; it ends by a time that is fixed when its cause ends, and who is
still there then counts as everybody does):

- After `reset --force`, backends that were there when it was over: a new ledger knows nothing of them. So it is with
  who was granted a connection by the old one and had not made it yet, which lasts as long as a process may stand still
  (LATE): such a backend is not in the new ledger. After OLD all of them are terminated.
- A reset while /dev/shm is full: no new ledger can be made, and who may (PQBUDGET_FAIL=open) connects without one,
  until there is room again. These, too, are not in the ledger, and OLD after there is room they are terminated.

Never stuck: who waits, while a slot is free for him and nobody stands still, sees a grant within STUCK.
Never lost: at rest the ledger's backends are the server's (main.py).
"""

import threading
import time

from ledger import LIMIT, RESERVE
from server import Observer

EVERY = 0.01
LATE = 5  # a process stands still for 2 s at most, and a login may take 3 on a loaded machine
OLD = 15  # what a reset has left behind is terminated after it, and has GONE to go
GONE = 5
STUCK = 4


class Excuse:
    def __init__(self, why, began):
        self.why, self.began = why, began
        self.sure = self.unknown = began  # born before that: excused; excused if not in the ledger
        self.until = float("inf")
        self.is_settled = False

    def end(self, now, is_sure=False):
        """Its cause has ended."""
        if is_sure:
            self.sure = now
        self.unknown = now + LATE
        self.until = now + OLD + GONE


class Judge:
    def __init__(self, journal, ledger):
        self.journal, self.ledger = journal, ledger
        self.bound = LIMIT
        self.excuses = []
        self.samples = self.excused = self.unanswered = 0
        self.peak = 0
        self.is_over = False
        self.told = dict.fromkeys(["granted_total", "yielded_total", "reaped_total", "timeout_total"], 0)
        self.totals = dict(self.told)
        self.grants = (0, 0.0, 0)  # how many there were, since when, at least so many waited since
        self.observer = Observer()
        self.is_done = threading.Event()
        self.sampler = threading.Thread(target=self.sample, daemon=True)

    # ---- the bound ----

    def may_become(self, limit):
        """Somebody is about to set it."""
        self.bound = max(self.bound, limit)

    def look(self):
        """Asks the ledger. What it says is the bound, unless something is under way that may change it."""
        under_way = self.ledger.orders_go_on()
        server = self.ledger.server()
        if not under_way:
            self.bound = max(server["limit"], server["used"])
        for name, before in self.told.items():
            # A new ledger begins at nothing.
            self.totals[name] += server[name] - (before if server[name] >= before else 0)
            self.told[name] = server[name]
        return server

    def excuse(self, why):
        excuse = Excuse(why, time.time())
        excuse.sure = excuse.unknown = float("inf")
        self.excuses.append(excuse)
        return excuse

    def is_excused(self, begin, end):
        """Whether there could be no ledger, or a new one, at some time from one to the other."""
        return any(excuse.began - 1 <= end and begin <= excuse.until for excuse in self.excuses)

    def hurry(self):
        """Nobody stands still any more: what a reset has left behind need not be waited for."""
        for excuse in self.excuses:
            excuse.until = min(excuse.until, max(time.time(), excuse.unknown) + GONE)

    def known(self):
        return {claim["backend_pid"] for claim in self.ledger.server()["claims"]}

    def settle(self, server):
        """Ends what the excuses excuse, in time."""
        for excuse in self.excuses:
            if not excuse.is_settled and time.time() > excuse.until - GONE:
                seen = server.backends()
                if seen is None:
                    continue
                known = self.known()
                excuse.is_settled = True
                left = {b.pid for b in seen[0] if b.born < excuse.unknown and b.pid not in known}
                server.terminate(left)
                self.journal.note(f"{excuse.why}: terminated what was left of it: {sorted(left)}")

    # ---- never over ----

    def sample(self):
        due = time.monotonic()
        while not self.is_done.wait(max(0, due - time.monotonic())):
            due = max(due + EVERY, time.monotonic() - EVERY)
            bound = self.bound
            seen = self.observer.backends()
            if seen is None:
                self.unanswered += 1
                self.is_done.wait(5 * EVERY)
            else:
                self.weigh(*seen, max(bound, self.bound))
        self.observer.close()

    def weigh(self, backends, moment, bound):
        self.samples += 1
        self.peak = max(self.peak, len(backends))
        left, why = backends, ""
        valid = [excuse for excuse in self.excuses if moment <= excuse.until]
        if len(left) > bound and valid:
            left = [b for b in left if not any(b.born < excuse.sure for excuse in valid)]
            if len(left) > bound and any(b.born < excuse.unknown for b in left for excuse in valid):
                known = self.known()
                left = [b for b in left if b.pid in known or not any(b.born < e.unknown for e in valid)]
            self.excused += len(left) <= bound
            why = f", {len(backends) - len(left)} of them excused ({', '.join(excuse.why for excuse in valid)})"
        is_over = len(left) > bound
        if is_over and not self.is_over:
            self.journal.find(f"over: {len(backends)} connections{why}, and the bound is {bound}:"
                              f" {' '.join(f'{b.pid}@{b.born:.3f}' for b in left)} at {moment:.3f}")
        self.is_over = is_over

    def hear(self, server):
        """The server's own refusals."""
        for when, words in server.refusals():
            if self.is_excused(when, when):
                self.journal.note(f"the server refused, excused: {words}")
            else:
                self.journal.find(f"over: at {when:.3f} the server itself said: {words}")

    # ---- never stuck ----

    def watch(self, server, nobody_stands_still):
        """`server` is a new look at the ledger."""
        now = time.monotonic()
        waiters = {claim["pid"] for claim in server["claims"] if claim["state"] == "waiting"}
        has_room = server["used"] + RESERVE < server["limit"] and not server["paused"]
        granted, since, who = self.grants
        still = waiters & who if who else waiters
        if not has_room or not still or not nobody_stands_still or granted != server["granted_total"]:
            self.grants = (server["granted_total"], now, set())
        elif not who:
            self.grants = (granted, now, still)
        elif now - since > STUCK:
            self.journal.find(f"stuck: {server['used']} of {server['limit']} in use, and {sorted(still)} wait, without"
                              f" a grant to anybody for {now - since:.1f} s")
            self.grants = (granted, now, set())
        else:
            self.grants = (granted, since, still)
