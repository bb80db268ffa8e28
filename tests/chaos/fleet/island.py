"""Runs a command on an island: a network, processes and a /dev/shm of its own.   island.py COMMAND…

It can cut the network there and fill /dev/shm, and when it is over, however, nobody is left. PQB_ISLAND in its
environment names a file to which each orphan's death by a signal is written. Without the right to make an island the
command runs where it is, which is said, and PQB_ISLAND is not there.
"""

import ctypes
import os
import signal
import subprocess
import sys
import tempfile

CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET = 0x00020000, 0x20000000, 0x40000000
PR_SET_PDEATHSIG = 1
SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
libc = ctypes.CDLL(None, use_errno=True)


def order(*words):
    subprocess.run(words, check=True)


def unshare():
    if libc.unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def furnish():
    """As the island's first process."""
    order("mount", "--make-rprivate", "/")
    order("mount", "-t", "proc", "proc", "/proc")
    order("mount", "-t", "tmpfs", "-o", "size=24m,nr_inodes=4k,mode=1777", "tmpfs", "/dev/shm")
    order("ip", "link", "set", "lo", "up")


def pass_on(child):
    """Whoever ends us ends it, and waits for it."""
    for number in SIGNALS:
        signal.signal(number, lambda *_: os.kill(child, signal.SIGTERM))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def rule(argv):
    """The first process: it inherits every orphan, and its end is everybody's."""
    with tempfile.NamedTemporaryFile("w", prefix="pqbudget-island.", buffering=1) as deaths:
        child = os.fork()
        if not child:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            os.environ["PQB_ISLAND"] = deaths.name
            os.setsid()  # a terminal's Ctrl-C comes by us
            os.execvp(argv[0], argv)
        pass_on(child)
        while True:
            pid, status = os.waitpid(-1, 0)
            if pid == child:
                return os.waitstatus_to_exitcode(status)
            if os.WIFSIGNALED(status) and os.WTERMSIG(status) != signal.SIGKILL:
                deaths.write(f"{pid} {signal.Signals(os.WTERMSIG(status)).name}\n")


def main(argv):
    try:
        unshare()
    except OSError as error:
        print(f"chaos: no island ({error}): no network cuts, no full /dev/shm", flush=True)
        os.execvp(argv[0], argv)
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # until there is somebody to pass them on to
    first = os.fork()
    if not first:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        furnish()
        status = rule(argv)
        os._exit(status if status >= 0 else 128 - status)
    pass_on(first)
    while True:
        pid, status = os.waitpid(first, 0)
        if pid == first:
            sys.exit(os.waitstatus_to_exitcode(status))


main(sys.argv[1:])
