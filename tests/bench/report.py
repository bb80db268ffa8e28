"""Makes a report of what the benchmarks measured, and judges it.

    python3 report.py FOLDER <ROWS      Markdown to stdout; FOLDER gets report.md, report.json and plots, bench-*.svg

A row is a line of JSON: the table it belongs to, its name there, and cells, each in a column. One line has `made`
instead, which says when and where, and one `ended`, with the load then and the minutes it took. A column "X ÷ direct" is
shown beside X.

Here are the bars (design, section 10). Each is met or missed, and one whose row is not there is said to be not measured.
"""
import json
import os
import sys

import plots

DIRECT, OURS, YIELDING = "direct", "pqbudget", "pqbudget, yielding"
SESSION, TRANSACTION = "PgBouncer session", "PgBouncer transaction"
WAYS = [DIRECT, OURS, SESSION, TRANSACTION]
POSIX, SYSV = "POSIX semaphore", "SysV semaphore"
GATES = [OURS, POSIX, SYSV]

# Of each: its key, its title, its columns, what must be known to read it.
TABLES = [
    ("queries", "Queries and connections", [*WAYS[:2], YIELDING, *WAYS[2:]],
     "Transactions per second of pgbench, and that ÷ a direct client's of the same round. PgBouncer reaches the server "
     "by a Unix socket, and has up to 50 connections there in session mode, 20 in transaction mode. A dash: PgBouncer "
     "1.18 has no prepared statements in transaction mode (1.21 has)."),
    ("processor", "Processor time", [*WAYS[:2], YIELDING, *WAYS[2:]],
     "Per transaction, of all who take part: pgbench, PostgreSQL with all its processes, PgBouncer. Without what clients "
     "and backends cost before their second query, but for `-C`."),
    ("latency", "Latency", WAYS,
     "Of each transaction, as pgbench logs it, in rounds of their own. Clients ask as fast as they are answered."),
    ("storm", "A storm", WAYS,
     "1,000 processes of a libpq client, each connects, asks `select 1`, and ends. All are let go at once, but for the "
     "first column, where 20 run at a time unless it says otherwise. max_connections is 25, the budget and PgBouncer's "
     "pools are 20."),
    ("programs", "Programs", WAYS[:2], "The same program without the preload and with it, in turns."),
    ("wakes", "Hand-over and recovery", [*GATES, "÷ " + POSIX, "÷ " + SYSV],
     "Beside pqbudget the limits that the system has: a POSIX named semaphore, and a SysV semaphore with SEM_UNDO."),
    ("claims", "A claim", [*GATES, "÷ " + POSIX, "÷ " + SYSV, "÷ alone"], ""),
    ("connections", "Short connections", ["tried", DIRECT, *GATES, "÷ " + POSIX, "÷ " + SYSV],
     "Connect, `select 1`, close: the speed of 16 clients that take turns at 4 slots, ÷ that of 4 clients that need none, "
     "at a server with room. Refused is counted at a server whose max_connections is limit + slack."),
    ("sessions", "Following a session", ["bytes", "processor per call"], ""),
]


class Bar:
    """What section 10 asks of one row: each of `most` (or of `least`) is a figure of the cell in `column`."""

    def __init__(self, table, name, column, text, most=None, least=None):
        self.row, self.column, self.text = (table, name), column, text
        self.most, self.least = most or {}, least or {}

    def is_met(self, cell):
        return all(cell[figure] <= bar for figure, bar in self.most.items()) and \
            all(cell[figure] >= bar for figure, bar in self.least.items())


def share(name, bar, way=OURS, table="queries"):
    return Bar(table, name, way + " ÷ direct", "≥ %.2f" % bar, least={"median": bar})


def call(name):
    for where in ("a program that never connected", "one that holds 4 connections"):
        yield Bar("programs", "%s, one byte, in %s" % (name, where), "pqbudget ÷ direct", "≤ 1.05",
                  most={"median": 1.05})


def wake(name):
    return Bar("wakes", name, OURS, "p50 ≤ 100 µs, p99 ≤ 2 ms", most={"p50": 100, "p99": 2000})


def short(slack, bar):
    for road in ("Unix socket", "TCP"):
        what = "%s, limit 4, slack %d: " % (road, slack)
        yield Bar("connections", what + "16 clients ÷ 4 direct", OURS, "≥ %.2f" % bar, least={"median": bar})
        yield Bar("connections", what + "refused", OURS, "0", most={"value": 0})


def memory(name):
    return Bar("programs", "private memory of a program that " + name, "pqbudget − direct", "≤ 64 KiB",
               most={"median": 64})


BARS = [
    share("`-S -M prepared`, 1 client", 0.99),
    share("`-S -M prepared`, 8 clients", 0.99),
    share("`-S -C`, Unix socket", 0.98),
    share("`-S -C`, TCP", 0.98),
    Bar("claims", "claim + give back, 0 held by others", OURS, "≤ 6 µs", most={"median": 6}),
    Bar("claims", "claim + give back, 10000 held by others", "÷ alone", "≤ 1.5 × alone", most={"value": 1.5}),
    wake("slot given back → next waiter runs"),
    wake("slot given back → next waiter with a bell runs"),
    wake("slot given back → next waiter runs, while another slot's backend does not exit"),
    wake("slot given back → a held socket's startup packet is on the wire"),
    wake("slot given back → a held `PQconnectStart`'s startup packet is on the wire"),
    *short(0, 0.85), *short(3, 0.95),
    Bar("wakes", "holder SIGKILLed → waiter runs (drain 0)", OURS, "p99 ≤ 50 ms", most={"p99": 50000}),
    Bar("programs", "`/bin/true`, from the order to its end", "pqbudget ÷ direct", "≤ 1.10", most={"median": 1.1}),
    *call("`write()` to a pipe"),
    Bar("storm", "time of 1,000", "pqbudget ÷ direct", "≤ 1.1", most={"median": 1.1}),
    Bar("storm", "failed of 1,000", OURS, "0", most={"value": 0}),
    Bar("claims", "the ledger's file, 10,048 claims", OURS, "≤ 4 MiB", most={"value": 4}),
    memory("never connected"), memory("holds a connection"),
    # More than it says: the other calls, another kind of client, and all of it with yielding on.
    *call("`read()` from a pipe"), *call("`send()` to a socket"), *call("`recv()` from a socket"),
    share("node-postgres, a pool of 5, `SELECT` by key", 0.99, table="programs"),
    share("node-postgres, a pool of 5, `SELECT` by key, `PQBUDGET_YIELD` on", 0.99, table="programs"),
    share("`-S -M prepared`, 1 client", 0.99, YIELDING), share("`-S -M prepared`, 8 clients", 0.99, YIELDING),
    memory("holds a connection, `PQBUDGET_YIELD` on"),
]
MET, MISSED, UNKNOWN = "met", "missed", "not measured"


# ---- in words ----

def number(figure):
    """Three digits that mean something; a thousand's comma."""
    size = abs(figure)
    if not size or size >= 100:
        return format(round(figure), ",")
    return "%.*f" % (2 if size >= 1 else 3 if size >= 0.1 else 4, figure) if size < 10 else "%.1f" % figure


def quantity(figure, unit):
    if not unit:
        return format(figure, ",g")
    if unit == "µs" and abs(figure) >= 10000:
        return number(figure / 1000) + " ms"
    return number(figure) + ("" if unit == "/s" else " ") + unit


def words(cell):
    """A cell as it is read."""
    unit = cell.get("unit", "")
    if "text" in cell:
        return cell["text"]
    if "value" in cell:
        return quantity(cell["value"], unit)
    if "median" in cell:
        return "%s (%s–%s)" % (quantity(cell["median"], unit), number(cell["low"]), number(cell["high"]))
    return ", ".join("%s %s" % (part, quantity(cell[part], unit)) for part in ("p50", "p95", "p99") if part in cell)


def cells_of(row):
    return {cell["column"]: cell for cell in row["cells"]}


def shown(cells, column):
    """The cell of a column with what stands beside it."""
    said = [words(cells[other]) + more for other, more in
            ((column, ""), (column + " ÷ direct", ""), (column + " − direct", " more")) if other in cells]
    return ", ".join(said) or "–"


# ---- the judgement ----

def judge(rows):
    """Every bar with its figure; rows that have one are told."""
    found = {(row["table"], row["name"]): row for row in rows}
    judged = []
    for bar in BARS:
        row = found.get(bar.row)
        cell = row and cells_of(row).get(bar.column)
        verdict = UNKNOWN if not cell else MET if bar.is_met(cell) else MISSED
        judged.append({"table": bar.row[0], "name": bar.row[1], "column": bar.column, "bar": bar.text,
                       "measured": words(cell) if cell else None, "verdict": verdict})
        if cell and "bar" not in row: # the list has the others
            row["bar"], row["verdict"] = bar.text, verdict
    return judged


def loud(verdict):
    return verdict if verdict == MET else "**%s**" % verdict


# ---- Markdown ----

def line(cells):
    return "| " + " | ".join(cells) + " |"


def table(title, columns, note, rows):
    """The columns that something stands in."""
    all_cells = [cells_of(row) for row in rows]
    used = [column for column in columns if any(shown(cells, column) != "–" for cells in all_cells)]
    has_bars = any("bar" in row for row in rows)
    yield "### " + title
    yield ""
    if note:
        yield note
        yield ""
    yield line(["", *used, *(["bar", ""] if has_bars else [])])
    yield "|" + "---|" * (1 + len(used) + 2 * has_bars)
    for row, cells in zip(rows, all_cells):
        bar = [row.get("bar", "–"), loud(row["verdict"]) if "bar" in row else "–"] if has_bars else []
        yield line([row["name"], *(shown(cells, column) for column in used), *bar])
    yield ""


def heading(made):
    yield "%s, %d processors (%s), Linux %s, PostgreSQL %s, PgBouncer %s." % tuple(
        made[key] for key in ("date", "processors", "processor", "kernel", "postgresql", "pgbouncer"))
    yield "Load %s when it began, %s when it ended, after %.1f minutes.%s" % (
        made["load"], made["load_ended"], made["minutes"], " A quick run: rough." if made["quick"] else "")
    yield "Medians with their quartiles; everything in a row was measured in turns, so compare within a row."
    yield ""


def markdown(made, rows, judged):
    yield from heading(made)
    for key, title, columns, note in TABLES:
        of_it = [row for row in rows if row["table"] == key]
        if of_it:
            yield from table(title, columns, note, of_it)
    count = {verdict: sum(bar["verdict"] == verdict for bar in judged) for verdict in (MET, MISSED, UNKNOWN)}
    yield "### The bars"
    yield ""
    yield ", ".join("%d %s" % (count[verdict], verdict) for verdict in count if count[verdict]) + "."
    yield ""
    yield line(["what", "bar", "measured", ""])
    yield "|---|---|---|---|"
    titles = {key: title for key, title, *_ in TABLES}
    for bar in judged:
        yielding = ", yielding" if bar["column"].startswith(YIELDING) else ""
        yield line(["%s: %s%s" % (titles[bar["table"]], bar["name"], yielding), bar["bar"], bar["measured"] or "–",
                    loud(bar["verdict"])])


def main():
    folder = sys.argv[1]
    lines = [json.loads(text) for text in sys.stdin]
    made = {**next(each["made"] for each in lines if "made" in each),
            **next(each["ended"] for each in lines if "ended" in each)}
    rows = [each for each in lines if "table" in each]
    stray = {row["table"] for row in rows} - {key for key, *_ in TABLES}
    if stray:
        sys.exit("report: no such table: " + ", ".join(sorted(stray)))
    judged = judge(rows)
    text = "\n".join(markdown(made, rows, judged)) + "\n"
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "report.md"), "w", encoding="utf-8") as file:
        file.write(text)
    with open(os.path.join(folder, "report.json"), "w", encoding="utf-8") as file:
        json.dump({"made": made, "rows": rows, "bars": judged}, file, ensure_ascii=False, indent=1)
    for name, picture in plots.draw({(row["table"], row["name"]): cells_of(row) for row in rows}).items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(picture)
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
