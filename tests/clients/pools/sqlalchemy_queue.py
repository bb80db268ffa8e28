# SQLAlchemy's QueuePool over psycopg2; with the argument "ping" it looks before it gives one away.
import sys

import sqlalchemy
from pool import Pool


class QueuePool(Pool):
    def open(self, size):
        self.engine = sqlalchemy.create_engine(
            "postgresql+psycopg2://", future=True, pool_size=size, max_overflow=0, pool_pre_ping="ping" in sys.argv
        )
        self.take, self.close = self.engine.connect, self.engine.dispose

    def ask(self, connection, text):
        return connection.execute(sqlalchemy.text(text)).scalar()

    def give(self, connection):
        connection.close()


QueuePool().run()
