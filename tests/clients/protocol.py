"""What every Python client of the matrix does; the other languages say the same by themselves.

    connected PID       a connection is open, PID is its backend
    failed: CLASS: TEXT it could not be had; newlines are \\n; exit status 1
    query  -> RESULT    what QUERY answers
    close  -> closed    the connection is closed, the process lives on
    exit                the end, as at the end of stdin
"""

import sys

QUERY = "SELECT 6 * 7, current_setting('application_name')"


def failed(error):
    """For the except clause around connecting."""
    kind = type(error)
    text = str(error).rstrip("\n").replace("\n", "\\n")
    print(f"failed: {kind.__module__}.{kind.__name__}: {text}", flush=True)
    sys.exit(1)


def serve(backend_pid, query, close):
    print("connected", backend_pid, flush=True)
    for line in sys.stdin:
        command = line.strip()
        if command == "query":
            print("|".join(str(value) for value in query(QUERY)), flush=True)
        elif command == "close":
            close()
            print("closed", flush=True)
        elif command == "exit":
            break
