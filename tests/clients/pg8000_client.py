import os

import pg8000

from protocol import failed, serve

try:
    connection = pg8000.connect(
        user=os.environ["PGUSER"], host=os.environ["PGHOST"], port=int(os.environ["PGPORT"]),
        database=os.environ["PGDATABASE"], ssl="CLIENT_TLS" in os.environ,
    )
except pg8000.Error as error:
    failed(error)


def query(text):
    cursor = connection.cursor()
    cursor.execute(text)
    return cursor.fetchone()


serve(query("SELECT pg_backend_pid()")[0], query, connection.close)
