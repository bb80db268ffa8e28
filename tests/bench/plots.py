"""The plots of a report: SVG that can be read on light and on dark paper."""
import math
from xml.sax.saxutils import escape

WIDTH = 960
COLOURS = {"direct": "direct", "pqbudget": "ours", "PgBouncer session": "session",
           "PgBouncer transaction": "transaction", "POSIX semaphore": "session", "SysV semaphore": "transaction",
           "pgbench": "direct", "PostgreSQL": "ours", "PgBouncer": "transaction"}
STYLE = """
svg { font: 13px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; --ink: #1f2430; --dim: #667085; --panel: #f6f7f9;
  --line: #d5d9e0; --direct: #8b93a1; --ours: #3867d6; --session: #b7791f; --transaction: #8e44ad; }
@media (prefers-color-scheme: dark) { svg { --ink: #e6e9ef; --dim: #98a2b3; --panel: #1b1f27; --line: #343b47;
  --direct: #8b93a1; --ours: #6d92f5; --session: #dba64a; --transaction: #bd83d6; } }
text { fill: var(--ink); } .dim { fill: var(--dim); } .small { font-size: 11px; } .big { font-size: 17px; font-weight: 600; }
.end { text-anchor: end; } .mid { text-anchor: middle; } .panel { fill: var(--panel); }
.grid { stroke: var(--line); } .spread { stroke: var(--ink); stroke-width: 1.2; } .curve { fill: none; stroke-width: 2; }
"""
STYLE += "".join(".%s { fill: var(--%s); } .curve.%s, .dot.%s { stroke: var(--%s); } .curve.%s { fill: none; }\n"
                 % ((name,) * 6) for name in ("direct", "ours", "session", "transaction"))


class Canvas:
    def __init__(self, title, subtitle, description, height):
        self.parts = [
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-labelledby="title description">'
            % (WIDTH, height),
            '<title id="title">%s</title>' % escape(title),
            '<desc id="description">%s</desc>' % escape(description),
            "<style>%s</style>" % STYLE,
            '<rect class="panel" x="0" y="0" width="%d" height="%d" rx="14"/>' % (WIDTH, height)]
        self.text(24, 34, title, "big")
        self.text(24, 56, subtitle, "dim")

    def text(self, x, y, words, style=""):
        self.parts.append('<text class="%s" x="%.1f" y="%.1f">%s</text>' % (style, x, y, escape(words)))

    def line(self, x1, y1, x2, y2, style):
        self.parts.append('<line class="%s" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>' % (style, x1, y1, x2, y2))

    def box(self, x, y, width, height, style):
        self.parts.append('<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="2"/>'
                          % (style, x, y, width, max(height, 0.5)))

    def curve(self, points, style):
        self.parts.append('<polyline class="curve %s" points="%s"/>'
                          % (style, " ".join("%.1f,%.1f" % point for point in points)))
        for x, y in points:
            self.parts.append('<circle class="dot %s" cx="%.1f" cy="%.1f" r="3.5"/>' % (style, x, y))

    def legend(self, names, y):
        x = 24
        for name in names:
            self.box(x, y - 10, 12, 12, COLOURS[name])
            self.text(x + 18, y, name)
            x += 40 + 7.2 * len(name)

    def end(self):
        return "\n".join([*self.parts, "</svg>"]) + "\n"


def figure_of(cell):
    return cell.get("median", cell.get("value"))


def short(figure):
    return format(round(figure), ",") if figure >= 100 else "%.3g" % figure


def steps(most):
    """Where the grid is: some five round numbers from 0 on."""
    size = 10 ** math.floor(math.log10(most / 4))
    size *= next(by for by in (1, 2, 5, 10) if most / (size * by) <= 6)
    return [size * i for i in range(int(most / size) + 2)]


LEFT, RIGHT, TOP, BOTTOM, HEIGHT = 84, 24, 104, 52, 400 # around what is drawn
BASE = HEIGHT - BOTTOM


def middle(i, groups):
    """Of the i-th group's place."""
    return LEFT + (WIDTH - LEFT - RIGHT) * (i + 0.5) / len(groups)


def label_groups(canvas, groups):
    """Each under its place; a second line is smaller."""
    for i, (label, _) in enumerate(groups):
        for j, words in enumerate(label.split("\n")):
            canvas.text(middle(i, groups), BASE + 20 + 15 * j, words, "mid dim small" if j else "mid")


def grid_line(canvas, y, words, style="grid"):
    canvas.line(LEFT, y, WIDTH - RIGHT, y, style)
    canvas.text(LEFT - 8, y + 4, words, "dim end")


# ---- bars ----

def bars(title, subtitle, groups, names, mark=""):
    """Of each group a bar for each name that it has: (label, {name: cell})."""
    canvas = Canvas(title, subtitle, describe(groups), HEIGHT)
    canvas.legend(names, 82)
    scale = rule(canvas, [cell.get("high", figure_of(cell)) for _, cells in groups for cell in cells.values()], mark)
    label_groups(canvas, groups)
    width = min(0.8 * (WIDTH - LEFT - RIGHT) / len(groups) / len(names), 70)
    for i, (_, cells) in enumerate(groups):
        x = middle(i, groups) - width * len(cells) / 2
        for name in filter(cells.get, names):
            cell = cells[name]
            canvas.box(x, BASE - figure_of(cell) * scale, width - 2, figure_of(cell) * scale, COLOURS[name])
            if "low" in cell:
                at = x + width / 2 - 1
                canvas.line(at, BASE - cell["low"] * scale, at, BASE - cell["high"] * scale, "spread")
            x += width
    return canvas.end()


def stacks(title, subtitle, groups, names, mark):
    """Of each group what it has, on top of each other, and the sum."""
    canvas = Canvas(title, subtitle, describe(groups), HEIGHT)
    canvas.legend(names, 82)
    sums = [sum(map(figure_of, cells.values())) for _, cells in groups]
    scale = rule(canvas, sums, mark)
    label_groups(canvas, groups)
    for i, (_, cells) in enumerate(groups):
        x, y = middle(i, groups) - 35, BASE
        for name in filter(cells.get, names):
            tall = figure_of(cells[name]) * scale
            y -= tall
            canvas.box(x, y, 70, tall, COLOURS[name])
            if tall > 14:
                canvas.text(x + 76, y + tall / 2 + 4, short(figure_of(cells[name])), "dim small")
        canvas.text(x + 35, y - 6, short(sums[i]), "mid")
    return canvas.end()


def rule(canvas, figures, mark):
    """The grid for figures from 0 on; returns how long 1 of them is. Where they are shares, 1 is drawn stronger."""
    grid = steps(max(figures))
    scale = (BASE - TOP) / grid[-1]
    for value in grid:
        grid_line(canvas, BASE - value * scale, short(value) + mark)
    if mark == " ×":
        canvas.line(LEFT, BASE - scale, WIDTH - RIGHT, BASE - scale, "spread")
    return scale


# ---- lines ----

def lines(title, subtitle, groups, names, mark):
    """A curve for each name over the groups, on a scale of decades: (label, {name: figure})."""
    canvas = Canvas(title, subtitle, describe(groups), HEIGHT)
    canvas.legend(names, 82)
    figures = [figure for _, cells in groups for figure in cells.values()]
    low, high = math.floor(math.log10(min(figures))), math.ceil(math.log10(max(figures)))

    def height(figure):
        return BASE - (math.log10(figure) - low) * (BASE - TOP) / max(high - low, 1)

    for decade in range(low, high + 1):
        grid_line(canvas, height(10 ** decade), short(10 ** decade) + mark)
    label_groups(canvas, groups)
    for name in names:
        canvas.curve([(middle(i, groups), height(cells[name])) for i, (_, cells) in enumerate(groups) if name in cells],
                     COLOURS[name])
    return canvas.end()


def describe(groups):
    """What the picture says, for whom can't see it."""
    return "; ".join("%s: %s" % (label.replace("\n", ", "), ", ".join(
        "%s %s" % (name, short(cell if isinstance(cell, (int, float)) else figure_of(cell)))
        for name, cell in cells.items())) for label, cells in groups)


# ---- which ----

WAYS = ["direct", "pqbudget", "PgBouncer session", "PgBouncer transaction"]
QUERIES = [("`-S -M %s`, %s" % (mode, clients), "%s\n%s" % (mode, clients))
           for mode in ("prepared", "simple") for clients in ("1 client", "8 clients", "50 clients")]
QUERIES += [("TPC-B, 8 clients", "TPC-B\n8 clients")]


def shares(rows):
    """Speed ÷ that of a direct client."""
    return [(label, {way: rows["queries", name][way + " ÷ direct"] for way in WAYS[1:]
                     if way + " ÷ direct" in rows["queries", name]})
            for name, label in QUERIES if ("queries", name) in rows]


def connects(rows):
    return [(road, {way: rows["queries", "`-S -C`, " + road][way] for way in WAYS
                    if way in rows["queries", "`-S -C`, " + road]})
            for road in ("Unix socket", "TCP") if ("queries", "`-S -C`, " + road) in rows]


def processor(rows):
    name = "`-S -M simple`, 8 clients: %s"
    parts = {part: rows.get(("processor", name % part), {}) for part in ("pgbench", "PostgreSQL", "PgBouncer")}
    return [(way, {part: cells[way] for part, cells in parts.items() if way in cells}) for way in WAYS
            if way in parts["pgbench"]]


def latency(rows, name):
    cells = rows.get(("latency", name), {})
    return [(part, {way: cells[way][part] for way in WAYS if way in cells})
            for part in ("p50", "p95", "p99") if cells]


def claims(rows):
    found = [("%s held" % held, rows.get(("claims", "claim + give back, %s held by others" % held)))
             for held in (0, 10, 100, 1000, 10000)]
    names = ("pqbudget", "POSIX semaphore", "SysV semaphore")
    return [(label, {name: figure_of(cells[name]) for name in names if name in cells}) for label, cells in found if cells]


def draw(rows):
    """Those that there are figures for, by file name."""
    latency_of = "`-S -M simple`, 8 clients"
    wanted = {
        "bench-queries.svg": (bars, "Queries per second ÷ a direct client's",
                              "pgbench, in turns; the lines are quartiles of the rounds", shares(rows), WAYS[1:], " ×"),
        "bench-connects.svg": (bars, "Connections per second", "pgbench -S -C: connect, one query, close",
                               connects(rows), WAYS),
        "bench-processor.svg": (stacks, "Processor time of one query", "of everything involved; pgbench -S, 8 clients",
                                processor(rows), ["pgbench", "PostgreSQL", "PgBouncer"], " µs"),
        "bench-latency.svg": (lines, "Latency", "of a query of pgbench -S, 8 clients", latency(rows, latency_of), WAYS,
                              " µs"),
        "bench-claims.svg": (lines, "A claim, taken and given back", "while others hold so many", claims(rows),
                             ["pqbudget", "POSIX semaphore", "SysV semaphore"], " µs"),
    }
    return {file: make(title, subtitle, groups, *rest)
            for file, (make, title, subtitle, groups, *rest) in wanted.items() if groups and all(c for _, c in groups)}
