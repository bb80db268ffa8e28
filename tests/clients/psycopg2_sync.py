import os

import psycopg2

from protocol import failed, serve

try:
    connection = psycopg2.connect(os.environ["DATABASE_URL"])
except psycopg2.Error as error:
    failed(error)


def query(text):
    with connection.cursor() as cursor:
        cursor.execute(text)
        return cursor.fetchone()


serve(connection.get_backend_pid(), query, connection.close)
