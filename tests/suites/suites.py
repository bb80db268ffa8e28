"""Tests of others, run without the preload and with it, and compared one by one.   suites.py [SUITE]…

Started by scripts/suites. Each suite runs once for every mode, each time in a new database, and with a ledger of
its own. A test that ends otherwise than without the preload counts if it does so again when both are repeated. The
last line is `N passed, N failed`, of suites.
"""

import collections
import ctypes
import glob
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree

from rows import DATABASE, SUITES

BUILD = os.environ["PQB_TEST_BUILD"]
LIBRARY = os.path.join(BUILD, "libpqbudget.so")
TOOL = os.path.join(BUILD, "pqbudget")
MODULES = os.path.abspath("build/suites/node_modules")
PORT = os.environ["PGPORT"]

# What a mode adds to the environment; None: not even the preload.
MODES = {"without": None, "with": {}, "yield": {"PQBUDGET_YIELD": "3600s"}}

# A suite that has not ended by then hangs, and a ledger that is not empty by then stays so.
NEVER = 300
AT_REST = 30

prctl = ctypes.CDLL(None, use_errno=True).prctl
PR_SET_PDEATHSIG = 1

ledgers = 0


class Wrong(Exception):
    """What was seen instead of a suite that ran."""


class Run:
    """What became of each test, and what the ledger saw of it all."""

    def __init__(self, tests, seconds):
        self.tests, self.seconds, self.granted = tests, seconds, None
        self.counts = collections.Counter(tests.values())


def psql(database, *commands):
    """Quick and silent; each command is a transaction of its own."""
    said = [word for command in commands for word in ("-c", command)]
    argv = ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", database, *said]
    subprocess.run(argv, check=True, env=os.environ | {"PGOPTIONS": "-c client_min_messages=error"})


def read_report(path):
    """What became of each test. Those of the same name are told apart by their order."""
    try:
        report = ElementTree.parse(path)
    except (OSError, ElementTree.ParseError):
        raise Wrong("it ended without a whole report") from None
    tests, met = {}, collections.Counter()
    for case in report.iter("testcase"):
        name = f"{case.get('classname')}: {case.get('name')}"
        met[name] += 1
        outcome = next((child.tag for child in case if child.tag in ("failure", "error", "skipped")), "passed")
        tests[f"{name} ({met[name]})" if met[name] > 1 else name] = outcome
    return tests


def ask_ledger(ledger):
    """How many connections it gave, once nobody is left in it. Tests look for servers that are not there, too.

    They also leave queries behind that run on, and such a backend is counted until it has gone.
    """
    psql("postgres", f"DROP DATABASE {DATABASE} WITH (FORCE)")
    argv = [TOOL, "status", "--json", "--ledger", ledger]
    end = time.monotonic() + AT_REST
    while True:
        status = subprocess.run(argv, capture_output=True, text=True, check=False)
        if status.returncode:
            raise Wrong(status.stderr.strip())
        servers = json.loads(status.stdout)["servers"]
        left = [claim for server in servers for claim in server["claims"]]
        if not left:
            return sum(server["granted_total"] for server in servers)
        if time.monotonic() > end:
            raise Wrong(f"left in the ledger: {left}")
        time.sleep(0.05)


def start(argv, environment, folder, log):
    """Runs it to its end. Its exit status says no more than its report does."""

    def with_us():
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    try:
        subprocess.run(
            argv, env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=NEVER,
            preexec_fn=with_us, check=False,
        )
    except subprocess.TimeoutExpired:
        raise Wrong(f"it has not ended after {NEVER} s") from None


def tail_of(log):
    log.seek(0)
    return log.read().decode(errors="replace")[-2000:]


def environment_of(suite, mode, places):
    environment = os.environ | {"PGDATABASE": DATABASE, "LC_ALL": "C.UTF-8"}
    environment |= {name: value.format(**places) for name, value in suite.environment.items()}
    if MODES[mode] is not None:
        environment |= {"LD_PRELOAD": LIBRARY, "PQBUDGET_LEDGER": places["ledger"], "PQBUDGET_PORTS": PORT}
        environment |= MODES[mode]
    return environment


def run_in(folder, suite, mode, log):
    """One run, with a folder for what it makes."""
    global ledgers
    ledgers += 1
    ledger = f"test.{os.getpid()}.{ledgers}"
    for name, text in suite.files.items():
        with open(os.path.join(folder, name), "w", encoding="ascii") as file:
            file.write(text)
    places = {"port": PORT, "report": os.path.join(folder, "report.xml"), "ledger": ledger}
    began = time.monotonic()
    start(
        [word.format(**places) for word in suite.command], environment_of(suite, mode, places),
        os.path.join(MODULES, suite.folder) if suite.folder else folder, log,
    )
    result = Run(read_report(places["report"]), time.monotonic() - began)
    if result.counts["passed"] <= result.counts["failure"] + result.counts["error"]:
        raise Wrong("most of its tests fail")
    if MODES[mode] is not None:
        result.granted = ask_ledger(ledger)
        if not result.granted:
            raise Wrong("the preload saw none of its connections")
    return result


def run(suite, mode):
    """One run of the suite in that mode, in a new database."""
    psql("postgres", f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)", f"CREATE DATABASE {DATABASE}")
    if suite.sql:
        psql(DATABASE, *suite.sql)
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as log:
        try:
            return run_in(folder, suite, mode, log)
        except Wrong as wrong:
            raise Wrong(f"{mode}: {wrong}\n{tail_of(log)}") from None


def differing(one, other):
    """The tests that did not become the same in both."""
    return {name for name in one.tests.keys() | other.tests.keys() if one.tests.get(name) != other.tests.get(name)}


def compare(suite, runs, mode):
    """The tests that differ each time; those that did once only are said, to be looked into."""
    first = differing(runs["without"], runs[mode])
    if not first:
        return []
    second = differing(run(suite, "without"), run(suite, mode))
    for name in sorted(first - second):
        print(f"  {name}: differed once, {mode}", flush=True)
    return [
        f"{name}: {runs['without'].tests.get(name, 'not there')}, {mode}: {runs[mode].tests.get(name, 'not there')}"
        for name in sorted(first & second)
    ]


def version_of(suite):
    if suite.folder:
        with open(os.path.join(MODULES, suite.package, "package.json"), encoding="utf-8") as file:
            return json.load(file)["version"]
    argv = ["dpkg-query", "-W", "-f", "${Version}", suite.package]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def prove(suite):
    """The suite's line, and what differs."""
    runs = {mode: run(suite, mode) for mode in MODES}
    differences = [line for mode in MODES if mode != "without" for line in compare(suite, runs, mode)]

    def each(figure):
        return " / ".join(str(figure(one)) for one in runs.values())

    return [
        suite.name,
        version_of(suite),
        str(len(runs["without"].tests)),
        each(lambda one: one.counts["passed"]),
        each(lambda one: one.counts["failure"] + one.counts["error"]),
        each(lambda one: one.counts["skipped"]),
        str(len(differences)),
        each(lambda one: "-" if one.granted is None else one.granted),
        each(lambda one: round(one.seconds)),
    ], differences


HEADINGS = ["suite", "version", "tests", "passed", "failed", "skipped", "differ", "connections", "seconds"]


def show(lines):
    print(f"\nEach without the preload / with it / with PQBUDGET_YIELD={MODES['yield']['PQBUDGET_YIELD']}.")
    for line in [HEADINGS, ["---"] * len(HEADINGS), *lines]:
        print("| " + " | ".join(line) + " |")


def main(names):
    unknown = set(names) - {suite.name for suite in SUITES}
    if unknown:
        sys.exit(f"suites: no suite '{unknown.pop()}': {', '.join(suite.name for suite in SUITES)}")
    lines, failed = [], 0
    for suite in SUITES:
        if names and suite.name not in names:
            continue
        print(suite.name, flush=True)
        try:
            line, differences = prove(suite)
        except Wrong as wrong:
            line, differences = None, [str(wrong)]
        for difference in differences:
            print(f"  FAIL  {difference}", flush=True)
        if line:
            lines.append(line)
        failed += bool(differences)
    show(lines)
    chosen = len(names) or len(SUITES)
    print(f"{chosen - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    # As an exit, so that what is below is done.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        sys.exit(main(sys.argv[1:]))
    finally:
        for path in glob.glob(f"/dev/shm/pqbudget.{os.geteuid()}.test.{os.getpid()}.*"):
            subprocess.run(["rm", "-rf", path], check=False)
