"""What happened when: the timeline of a run, its findings, and what is kept to look into them."""

import os
import threading
import time


class Journal:
    ENOUGH = 20  # findings; then nothing new is learnt

    def __init__(self, folder, seed):
        os.makedirs(folder, exist_ok=True)
        self.folder, self.seed = folder, seed
        self.began = time.time()
        self.findings = []
        self.lock = threading.Lock()
        self.timeline = open(os.path.join(folder, "timeline"), "w", encoding="utf-8", buffering=1)
        self.witnesses = {}  # by the name of a file: what gives its content

    def age(self):
        return time.time() - self.began

    def note(self, text):
        self.timeline.write(f"{time.time():.3f} {self.age():8.3f} {text}\n")

    def find(self, text):
        """A finding: told at once, and what there is to be seen is kept."""
        with self.lock:
            self.findings.append(f"{text!s:.2000}; seed {self.seed}, after {self.age():.1f} s".replace("\n", "\\n"))
            number = len(self.findings)
        self.note(f"FINDING {text}")
        print(f"  FINDING  {self.findings[number - 1]}", flush=True)
        for name, witness in self.witnesses.items():
            try:
                kept = witness()
            except Exception as error:  # the server is down, the ledger away: that, too, is seen
                kept = f"{type(error).__name__}: {error}"
            with open(os.path.join(self.folder, f"{number:02}.{name}"), "w", encoding="utf-8") as file:
                file.write(kept)

    def has_enough(self):
        return len(self.findings) >= self.ENOUGH
