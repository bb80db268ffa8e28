"""What strikes the fleet, its server and its ledger. Each trouble that lasts has its end with it."""

import os
import random
import struct
import subprocess
import time

from ledger import KEY, LIMIT, RESERVE

CUT = 1.2  # seconds; see ledger.DRAIN
HEALED = 0.5  # after it
STOP = 2.0  # see judge.LATE
FULL = 3.0
EVERY = 0.12  # on average
SHM = "/dev/shm"


class Troubles:
    def __init__(self, seed, journal, judge, fleet, server, ledger, is_island):
        self.draw = random.Random(f"troubles {seed}")
        self.journal, self.judge, self.fleet, self.server, self.ledger = journal, judge, fleet, server, ledger
        self.ends = []  # of what lasts: when, and how
        self.cut_until = self.reset_until = self.stopping_until = 0
        self.is_full = False
        self.to_configure = False
        self.no_ledger = None  # the excuse for a reset while there is no room for a new one
        self.next = time.time()
        kinds = [
            (30, "SIGKILL", self.kill), (25, "SIGSTOP and SIGCONT", self.stop),
            (15, "pg_terminate_backend", self.terminate), (6, "limit changed", self.limit),
            (3, "paused and resumed", self.pause), (8, "clock jumped", self.jump), (1.2, "fast restart", self.fast),
            (1.2, "immediate restart", self.immediate), (1.5, "ledger reset", self.reset),
        ]
        if is_island:
            kinds += [(3, "network cut", self.cut), (8, "connection severed", self.sever),
                      (2.5, "/dev/shm full", self.fill)]
        self.weights, self.names, self.kinds = zip(*kinds)
        self.struck = dict.fromkeys(self.names, 0)

    def begin(self, seconds):
        """A round of so many seconds; towards its end nobody is stopped, so that it can be judged whether
        somebody waits in vain."""
        self.stopping_until = time.time() + seconds - 7
        self.next = time.time()

    def tick(self):
        """Strikes when it is time to."""
        now = time.time()
        self.end_what_is_over(now)
        if now < self.next:
            return
        self.next = now + self.draw.uniform(0, 2 * EVERY)
        number = self.draw.choices(range(len(self.kinds)), self.weights)[0]
        told = self.kinds[number]()
        if told:
            self.struck[self.names[number]] += 1
            self.journal.note(f"{self.names[number]}: {told}")

    def end_what_is_over(self, now):
        for when, end in [one for one in self.ends if one[0] <= now]:
            self.ends.remove((when, end))
            end()
        if self.to_configure and not self.is_full and self.ledger.configure():
            self.to_configure = False

    def end(self):
        """Everything is as it was."""
        self.end_what_is_over(float("inf"))
        self.fleet.all_go_on()
        self.judge.may_become(LIMIT)
        self.steer("--limit", str(LIMIT), "--reserve", str(RESERVE))
        self.ledger.order("resume", "--server", KEY)

    def later(self, seconds, end):
        self.ends.append((time.time() + seconds, end))

    # ---- processes ----

    def kill(self):
        pid = self.fleet.somebody(self.draw)
        if pid:
            self.fleet.kill(pid)
        return pid

    def stop(self):
        seconds = self.draw.choice([0.05, 0.3, STOP]) * self.draw.random()
        pid = self.fleet.somebody(self.draw) if time.time() < self.stopping_until else None
        if pid:
            self.fleet.stop(pid, seconds)
        return pid and f"{pid} for {seconds:.2f} s"

    # ---- the server ----

    def terminate(self):
        seen = self.server.backends()
        if not seen or not seen[0]:
            return None
        pid = self.draw.choice(sorted(backend.pid for backend in seen[0]))
        self.server.terminate([pid])
        return str(pid)

    def fast(self):
        return self.server.restart("fast") and "begun"

    def immediate(self):
        return self.server.restart("immediate") and "begun"

    # ---- the ledger ----

    def steer(self, *words):
        self.ledger.order("set", "--server", KEY, *words)

    def limit(self):
        limit = self.draw.choice([LIMIT, self.draw.randint(2, LIMIT)])
        if self.to_configure or self.ledger.orders_go_on():
            return None  # one after the other: who is in the guard may be stopped
        self.judge.may_become(limit)
        self.steer("--limit", str(limit), "--reserve", str(RESERVE if limit > 2 else 0))
        return str(limit)

    def pause(self):
        if self.to_configure:
            return None
        self.ledger.order("pause", "--server", KEY)
        self.later(self.draw.uniform(0.1, 1.5), lambda: self.ledger.order("resume", "--server", KEY))
        return "begun"

    def reset(self):
        # While the network is cut nobody can be terminated whose client is gone, and the new ledger does not know how
        # long a login may take here until it is told to.
        now = time.time()
        if now < self.reset_until or now < self.cut_until + 3 or self.ledger.orders_go_on():
            return None
        self.reset_until = now + 20
        self.judge.may_become(LIMIT)
        excuse = self.judge.excuse("reset")
        done = self.ledger.run("reset", "--force")
        excuse.end(time.time(), is_sure=True)
        self.to_configure = True
        if self.is_full:
            excuse.unknown = excuse.until = float("inf")
            self.no_ledger = excuse
        return f"exit status {done.returncode}{' while full' if self.is_full else ''}"

    def fill(self):
        """Every byte, and sometimes every name as well. A ledger that is there has its room; a new one has none."""
        if self.is_full:
            return None
        self.is_full = True
        plug = os.path.join(SHM, "plug")
        subprocess.run(["dd", "if=/dev/zero", f"of={plug}", "bs=64k"], check=False, stderr=subprocess.DEVNULL)
        names = self.draw.random() < 0.5
        if names:
            os.mkdir(plug + "s")
            try:
                for number in range(100000):
                    os.mknod(os.path.join(plug + "s", str(number)))
            except OSError:
                pass
        self.later(self.draw.uniform(0.3, FULL), self.empty)
        if self.draw.random() < 0.4:
            told = self.reset()
            if told:
                self.struck["ledger reset"] += 1
                return f"ledger reset: {told}"
        return "names as well" if names else "begun"

    def empty(self):
        subprocess.run(["rm", "-rf", os.path.join(SHM, "plug"), os.path.join(SHM, "plugs")], check=True)
        self.is_full = False
        self.journal.note("/dev/shm has room again")
        if self.no_ledger:
            self.no_ledger.end(time.time())
            self.no_ledger = None

    # ---- the network ----

    def link(self, state):
        subprocess.run(["ip", "link", "set", "lo", state], check=True)

    def cut(self):
        if time.time() < self.cut_until or self.to_configure:
            return None
        seconds = self.draw.uniform(0.05, CUT)
        self.cut_until = time.time() + seconds
        self.link("down")
        self.later(seconds, lambda: (self.link("up"), self.journal.note("the network is back")))
        self.later(seconds + HEALED, self.heal)
        return f"for {seconds:.2f} s"

    def heal(self):
        """A reset that is sent while the network is cut is lost for good, and whoever was to hear of it waits for ever,
        or for keepalive's two hours: with pqbudget or without. Here he hears of it now."""
        told = subprocess.run(["ss", "-Htan"], capture_output=True, text=True).stdout.splitlines()
        sockets = {(local, peer): state for state, _, _, local, peer, *_ in map(str.split, told)}
        for (local, peer), state in sockets.items():
            if state == "ESTAB" and (peer, local) not in sockets:
                self.destroy("sport", "=", ":" + local.rpartition(":")[2], "dport", "=", ":" + peer.rpartition(":")[2])
                self.journal.note(f"{local} hears that {peer} is gone")

    def destroy(self, *which):
        subprocess.run(["ss", "-K", *which], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def sever(self):
        """Both ends hear of it: the one by a reset, the other by an abort."""
        told = subprocess.run(["ss", "-Htn", "state", "established", "sport", "=", f":{KEY.rpartition(':')[2]}"],
                              capture_output=True, text=True).stdout.split("\n")
        peers = sorted(line.split()[3] for line in told if line.strip())
        if not peers:
            return None
        peer = self.draw.choice(peers)
        side = self.draw.choice(["dport", "sport"])
        self.destroy(side, "=", ":" + peer.rpartition(":")[2])
        return f"{peer} at the {'server' if side == 'dport' else 'client'}"

    # ---- the clock ----

    def jump(self):
        seconds = self.draw.choice([0.3, 60, 86400]) * self.draw.uniform(-1, 1)
        with open(self.fleet.clock, "r+b") as file:
            file.write(struct.pack("q", int(seconds * 1e9)))
        return f"to {seconds:+.1f} s"
