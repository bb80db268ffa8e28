# psycopg2.pool, the class of it that is asked for.
import sys

import psycopg2.pool
from pool import Pool


class Psycopg2(Pool):
    def open(self, size):
        self.pool = getattr(psycopg2.pool, sys.argv[1])(size, size, "")
        self.take, self.give, self.close = self.pool.getconn, self.pool.putconn, self.pool.closeall


Psycopg2().run()
