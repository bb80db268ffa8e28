import os

import pyodbc

from protocol import failed, serve

pyodbc.pooling = False  # the driver manager would keep what is closed
environment = os.environ
try:
    connection = pyodbc.connect(
        "Driver={PostgreSQL Unicode};Server=%s;Port=%s;Database=%s;Uid=%s"
        % tuple(environment[name] for name in ("PGHOST", "PGPORT", "PGDATABASE", "PGUSER"))
    )
except pyodbc.Error as error:
    failed(error)


def query(text):
    return connection.execute(text).fetchone()


serve(query("SELECT pg_backend_pid()")[0], query, connection.close)
