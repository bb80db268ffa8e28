"""The first and the last line of a run, for report.py: when and where, and what else the machine did.

    python3 header.py begin PGBENCH | end SECONDS
"""
import json
import os
import platform
import re
import subprocess
import sys
import time

from figures import QUICK


def version(*command):
    return re.search(r"\d+\.\d+(\.\d+)?", subprocess.run(command, capture_output=True, text=True, check=True).stdout)[0]


def processor():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        found = re.search(r"^model name\s*: (.*)", file.read(), re.M)
    return found[1] if found else platform.machine()


load = "%.2f" % os.getloadavg()[0]
if sys.argv[1] == "begin":
    print(json.dumps({"made": {
        "date": time.strftime("%Y-%m-%d %H:%M"), "processors": len(os.sched_getaffinity(0)), "processor": processor(),
        "kernel": platform.release(), "postgresql": version(sys.argv[2], "--version"),
        "pgbouncer": version("pgbouncer", "--version"), "load": load, "quick": QUICK}}))
else:
    print(json.dumps({"ended": {"load_ended": load, "minutes": round(int(sys.argv[2]) / 60, 1)}}))
