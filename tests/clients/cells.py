"""What is proved of each client, one function per column. Each raises Wrong."""

import re

from bench import PORT, Holder, Ledger, Wrong, expect, plain, wait_until
from rows import IsReady

LABEL = "matrix"


def counted(row, console):
    """While it is open the ledger shows it, as the server does."""
    with Ledger(2) as ledger, row.start(ledger.environment()) as client:
        backend = client.connected()
        claim = ledger.claim(client.pid, "open")
        shown = console.backend(backend)
        if shown is None:
            raise Wrong(f"pg_stat_activity does not show backend {backend}")
        keys = ("backend_pid", "database", "user", "application_name", "door")
        expect("the claim", [backend, *shown, "libpq"], [claim[key] for key in keys])
        expect("connections in use", 1, ledger.server()["used"])


def given_back(row, console):
    """After it closes, while it lives; and after SIGKILL."""
    with Ledger(2) as ledger:
        with row.start(ledger.environment()) as client:
            backend = client.connected()
            ledger.claim(client.pid, "open")
            if row.closes:
                client.close()
                ledger.empties()
                wait_until("its backend has gone", lambda: not console.backend(backend))
                expect("the process lives", True, client.lives())
            expect("exit status", 0, client.finish()[0])
            ledger.empties()

        with row.start(ledger.environment()) as client:
            backend = client.connected()
            ledger.claim(client.pid, "open")
            client.kill()
            ledger.empties()
            wait_until("its backend has gone", lambda: not console.backend(backend))


def named(row, console):
    """Its own name, or its program's; or that of PQBUDGET_APP, also as the claim's label."""
    for variables, name in (({}, row.program), ({"PQBUDGET_APP": LABEL}, LABEL)):
        wanted = row.application_name or name
        with Ledger(2) as ledger, row.start(ledger.environment(**variables)) as client:
            backend = client.connected()
            expect("application_name", wanted, (console.backend(backend) or [None] * 3)[2])
            claim = ledger.claim(client.pid, "open")
            expect("the claim's", [name, wanted], [claim["app"], claim["application_name"]])
            if row.queries:
                expect("its query", f"42|{wanted}", client.query())


def refused(row, _):
    """When the budget is full and it may not wait: its own exception, with the server's words and ours."""
    with Ledger(1) as ledger, Holder(ledger):
        with row.start(ledger.environment(PQBUDGET_WAIT="0")) as client:
            status, text = client.failure()
            expect("exit status", row.failing, status)
            if not re.fullmatch(row.refusal, text):
                raise Wrong(f"expected {row.refusal!r}, got {text!r}")
        server = ledger.server()
        seen = [server[key] for key in ("refused_total", "used", "waiting")]
        expect("refused, in use, waiting", [row.attempts, 1, 0], seen)


def talk(row, client):
    """A whole conversation with a client that has a connection: all it says, and how it ends."""
    said = [client.query()] if row.queries else []
    if row.closes:
        client.close()
    status, rest = client.finish()
    return said + [row.steady(rest), client.complaint(), status]


def transcript(row, environment):
    """Such a conversation, and what it says where there is no server."""
    with row.start(environment) as client:
        client.connected()
        said = talk(row, client)
    nowhere = {"PGPORT": "1", "DATABASE_URL": "postgresql://postgres@127.0.0.1:1/postgres"}
    with row.start(environment | nowhere) as client:
        return said + [*client.failure(), client.complaint()]


def admitted(row, console):
    """When it waits and a slot comes free. From then on it is what it is without us."""
    with Ledger(1) as ledger, Holder(ledger) as holder:
        environment = ledger.environment(PQBUDGET_WAIT="20s", PQBUDGET_APPLICATION_NAME="off")
        with row.start(environment) as client:
            ledger.claim(client.pid, "waiting")
            expect("its connections", [], console.others(holder.backend))
            holder.let_go()
            client.connected()
            ledger.claim(client.pid, "open")
            said = talk(row, client)
        ledger.empties()
        expect("grants", 1 + row.connections, ledger.server()["granted_total"])
    expect("what it says", transcript(row, plain())[: len(said)], said)


def off(row, _):
    """With PQBUDGET=off nothing is different from no preload, and no ledger comes to be."""
    with Ledger(2) as ledger:
        expect("what it says", transcript(row, plain()), transcript(row, ledger.environment(PQBUDGET="off")))
        expect("files", [], ledger.files())


def asks(row, environment):
    """What pg_isready says."""
    with row.start(environment) as client:
        return client.rest(), client.status(), client.complaint()


READY = (f"127.0.0.1:{PORT} - accepting connections\n", 0, "")


def not_counted(row, _):
    """pg_isready is never charged."""
    with Ledger(2) as ledger:
        expect("what it says", READY, asks(row, ledger.environment()))
        expect("grants", 0, ledger.server()["granted_total"])


def not_refused(row, _):
    """pg_isready answers also when the budget is full, and at once."""
    with Ledger(1) as ledger, Holder(ledger):
        expect("what it says", READY, asks(row, ledger.environment(PQBUDGET_WAIT="0")))
        server = ledger.server()
        expect("grants, refused", [1, 0], [server["granted_total"], server["refused_total"]])


def not_different(row, _):
    with Ledger(2) as ledger:
        expect("what it says", READY, asks(row, plain()))
        expect("what it says", READY, asks(row, ledger.environment(PQBUDGET="off")))
        expect("files", [], ledger.files())


COLUMNS = {
    "counted": counted,
    "given back": given_back,
    "named": named,
    "refused": refused,
    "admitted": admitted,
    "off": off,
}
NEVER_CHARGED = {"counted": not_counted, "refused": not_refused, "off": not_different}


def cell(row, column):
    """The function that proves this; None where there is nothing to prove."""
    return NEVER_CHARGED.get(column) if isinstance(row, IsReady) else COLUMNS[column]
