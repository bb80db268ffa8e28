"""What members may say when a connection fails or is lost."""

import re

# Why a connection may fail or be lost here: troubles, in the words of nine drivers. Anything else is strange.
EXPECTED = re.compile(
    "|".join([
        r"server closed the connection", r"terminating connection", r"the database system is", r"connection ?refused",
        r"ECONNREFUSED", r"network is unreachable", r"ENETUNREACH", r"connection ?reset", r"ECONNRESET",
        r"broken ?pipe",
        r"EPIPE", r"caused connection abort", r"ECONNABORTED", r"ConnectionAborted", r"connection terminated",
        r"connection (was|is|already) closed", r"connection was lost", r"connection is lost", r"ConnectionDoesNotExist",
        r"no connection to the server", r"connection not open", r"connection to server was lost",
        r"connection to backend", r"can't reach database server", r"backend died while processing",
        r"server has closed the connection", r"no such file or directory", r"ENOENT", r"no route to host",
        r"EHOSTUNREACH", r"not queryable", r"can't get socket", r"network error", r"connection_lost",
        r"timeout expired",  # a wall clock that jumped: libpq asks it for its connect_timeout, of which PDO sets one
        r"cannot switch to state",  # asyncpg between the last words of a server and its end
        r"unpack_from requires a buffer",  # how pg8000 takes an end of file
    ]),
    re.IGNORECASE,
)
GAVE_WAY = re.compile(r"idle-session timeout")  # who never said that he would, never has to
OURS = re.compile(r"pqbudget: (\d+ of \d+ connections to \S+ are in use|.*(are|is) reserved|new connections)")
# What libpq prints by itself: the server's last words to an idle client.
NOTICE = re.compile(r"(FATAL|WARNING|DETAIL|HINT):  ")
THEIRS = re.compile(r"too many clients already|remaining connection slots")
UNUSABLE = re.compile(r"the budget cannot be used")
