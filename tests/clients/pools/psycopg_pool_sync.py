# psycopg_pool, with threads.
import psycopg_pool
from pool import Pool


class PsycopgPool(Pool):
    def open(self, size):
        self.pool = psycopg_pool.ConnectionPool("", min_size=size, max_size=size)
        self.take, self.give, self.close = self.pool.getconn, self.pool.putconn, self.pool.close
        self.pool.wait()


PsycopgPool().run()
