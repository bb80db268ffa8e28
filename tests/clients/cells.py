"""What is proved of each client, one function per column. Each raises Wrong."""

import functools
import re

from bench import PORT, TLS_PORT, Console, Holder, Ledger, Wrong, expect, plain, wait_until
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
        if row.tells_later:
            shown[2] = row.program  # the name it began with, ours
        keys = ("backend_pid", "database", "user", "application_name", "door")
        expect("the claim", [backend, *shown, row.door], [claim[key] for key in keys])
        expect("connections in use", 1, ledger.server()["used"])


def given_back(row, console):
    """After it closes, while it lives; after it just ends; and after SIGKILL."""
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

        if row.closes:  # and without being closed
            with row.start(ledger.environment()) as client:
                backend = client.connected()
                expect("exit status", 0, client.finish()[0])
                ledger.empties()
                wait_until("its backend has gone", lambda: not console.backend(backend))

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
            told = name if row.tells_later else wanted
            expect("the claim's", [name, told], [claim["app"], claim["application_name"]])
            if row.queries:
                expect("its query", f"42|{wanted}", client.query())


def refuse(row, ledger, refusal, **variables):
    """Its own exception, with the server's words and ours: when it may not wait, and when it waits in vain."""
    for wait in ("0", "200ms"):
        with row.start(ledger.environment(PQBUDGET_WAIT=wait, **variables)) as client:
            status, text = client.failure()
            expect(f"exit status, waiting {wait}", row.failing, status)
            if not re.fullmatch(refusal, text):
                raise Wrong(f"waiting {wait}: expected {refusal!r}, got {text!r}")


def refused(row, _):
    """When the budget is full."""
    with Ledger(1) as ledger, Holder(ledger):
        refuse(row, ledger, row.refusal)
        server = ledger.server()
        seen = [server[key] for key in ("refused_total", "timeout_total", "used", "waiting")]
        expect("refused, timed out, in use, waiting", [row.attempts, row.attempts, 1, 0], seen)


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


# So many ticks make a look at how its event loop runs.
TICKS = 20


def ticking(row, _):
    """While it waits its event loop runs: of the ticks there could be it sees a third and more."""
    with Ledger(1) as ledger, Holder(ledger) as holder:
        with row.start(ledger.environment(PQBUDGET_WAIT="60s")) as client:
            ledger.claim(client.pid, "waiting")
            begun = client.ticks()

            def runs():
                # On a machine that is busy with other things one look proves nothing.
                nonlocal begun
                seen = client.ticks()
                ticks, seconds = seen[0] - begun[0], seen[1] - begun[1]
                if ticks < TICKS:
                    return False
                begun = seen
                return ticks * 0.010 >= seconds / 3

            wait_until("its timer ticks as it should", runs)
            expect("claims waiting", ["waiting"], [claim["state"] for claim in ledger.claims(client.pid)])
            holder.let_go()
            client.connected()


def connect_encrypted(row, console, ledger, client):
    """Waits until it has a connection, which is encrypted and counted."""
    expect("TLS", True, console.is_encrypted(client.connected()))
    expect("door", row.door, ledger.claim(client.pid, "open")["door"])


def encrypted(row, console, tls):
    """TLS, asked for in this way: counted and given back, refused, admitted when it waits."""
    with Ledger(1, TLS_PORT) as ledger:
        waits = ledger.environment(CLIENT_TLS=tls, PQBUDGET_WAIT="20s")
        with row.start(waits) as client:
            connect_encrypted(row, console, ledger, client)
            client.close()
            # However it was closed, who wants the slot finds it free while the process lives on; and so
            # does who looks.
            Holder(ledger).__exit__()
            ledger.empties()
            expect("the process lives", True, client.lives())

        with Holder(ledger) as holder:
            refuse(row, ledger, row.tls[tls].replace(PORT, TLS_PORT), CLIENT_TLS=tls)
            with row.start(waits) as client:
                ledger.claim(client.pid, "waiting")
                holder.let_go()
                connect_encrypted(row, console, ledger, client)
                client.query()
                client.kill()
        ledger.empties()

        with row.start(waits) as client:
            connect_encrypted(row, console, ledger, client)
            expect("exit status", 0, client.finish()[0])
        ledger.empties()


def preferred(row, _):
    encrypted(row, tls_console(), "prefer")


def required(row, _):
    encrypted(row, tls_console(), "require")


@functools.cache
def tls_console():
    console = Console("TLS console", TLS_PORT)
    make_table(console)
    return console


def make_table(console):
    console.ask("CREATE TABLE matrix (id int PRIMARY KEY, name text)")
    console.ask("INSERT INTO matrix VALUES (1, 'one'), (2, 'two')")


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
    "ticking": ticking,
    "prefer": preferred,
    "require": required,
    "off": off,
}
NEVER_CHARGED = {"counted": not_counted, "refused": not_refused, "off": not_different}


def cell(row, column):
    """The function that proves this; None where there is nothing to prove."""
    if isinstance(row, IsReady):
        return NEVER_CHARGED.get(column)
    if column in ("prefer", "require") and column not in row.tls or column == "ticking" and not row.ticks:
        return None
    return COLUMNS[column]
