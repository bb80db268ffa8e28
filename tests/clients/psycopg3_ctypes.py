import os

os.environ["PSYCOPG_IMPL"] = "python"  # ctypes, also where the C implementation is installed
import psycopg

from protocol import failed, serve

try:
    connection = psycopg.connect(os.environ["DATABASE_URL"])
except psycopg.Error as error:
    failed(error)


def query(text):
    return connection.execute(text).fetchone()


serve(connection.info.backend_pid, query, connection.close)
