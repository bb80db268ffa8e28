"""Rows of a benchmark, as tests/support/measure.h has them for programs in C: a line of JSON each, for report.py."""
import json
import math
import os
import sys

QUICK = os.environ.get("QUICK", "0") not in ("", "0")


def part(samples, share):
    """The sample that this share of all are not above."""
    ordered = sorted(samples)
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]


def rounded(figure):
    return float("%.6g" % figure)


def spread(column, samples, unit):
    return {"column": column, "unit": unit, "median": rounded(part(samples, 0.5)), "low": rounded(part(samples, 0.25)),
            "high": rounded(part(samples, 0.75))}


def delay(column, samples, unit):
    return {"column": column, "unit": unit, "p50": rounded(part(samples, 0.5)), "p95": rounded(part(samples, 0.95)),
            "p99": rounded(part(samples, 0.99))}


def value(column, figure, unit):
    return {"column": column, "unit": unit, "value": rounded(figure)}


def row(table, name, cells):
    print(json.dumps({"table": table, "name": name, "cells": cells}, ensure_ascii=False), flush=True)


def say(words):
    print("bench: " + words, file=sys.stderr, flush=True)


def fail(words):
    sys.exit("bench: " + words)
