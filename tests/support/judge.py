"""For judges: programs under the preload that take a command a line and answer each with a line, and the ledger
that they share."""
import os
import subprocess
import time

BUILD = os.path.abspath(os.environ.get("PQB_TEST_BUILD", "build/release"))


class Client:
    def __init__(self, *arguments, **settings):
        self.process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        stderr=subprocess.PIPE,
                                        env={**os.environ, "LD_PRELOAD": BUILD + "/libpqbudget.so", **settings})

    def begin(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def ends(self):
        return self.process.stdout.readline().rstrip("\n")

    def says(self, line, expected):
        self.begin(line)
        said = self.ends()
        assert said == expected, "%s: %r, not %r" % (line, said, expected)

    def gone(self):
        """Ends it; what it said to stderr."""
        _, errors = self.process.communicate(timeout=60)
        return errors


def tool(*arguments):
    return subprocess.run([BUILD + "/pqbudget", *arguments], capture_output=True, text=True).stdout


def wait_until(what, condition):
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until, what + "\n" + tool("status")
        time.sleep(0.005)


def waiting(count):
    wait_until("%d waiting" % count, lambda: " %d waiting" % count in tool("status"))
