"""The suites that others ship with what they install: where each comes from and how it is told to run.

Every runner writes the report that they all know, JUnit's: one element per test. A row's command has at
{report} the file for it, and at {port} the server's port. A suite that is in a source package only is not here.
"""

from typing import NamedTuple

PYTHON = "/usr/bin/python3"  # Debian's, which has Debian's modules
# The database that every run finds new.
DATABASE = "suite"


class Suite(NamedTuple):
    name: str
    package: str  # whose version is shown: of Debian's, or of npm's in build/suites
    folder: str  # where it runs: below node_modules, or "" for a folder with nothing in it but `files`
    command: list
    files: dict = {}
    environment: dict = {}
    sql: tuple = ()


def pytest(name, package, *arguments, **more):
    command = [PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml={report}", *arguments]
    return Suite(name, package, "", command, **more)


def sqlalchemy(name, package, driver, tests):
    """A suite made of SQLAlchemy's own plugin and of the tests in that module, as its README.dialects says."""
    files = {
        "conftest.py": "from sqlalchemy.testing.plugin.pytestplugin import *\n",
        "test_suite.py": f"from {tests}.suite import *\n",
        "setup.cfg": f"[sqla_testing]\nrequirement_cls={tests}.requirements:SuiteRequirements\n"
        "profile_file=profiles.txt\n",
    }
    url = f"postgresql+{driver}://postgres@127.0.0.1:{{port}}/{DATABASE}"
    sql = ("CREATE SCHEMA test_schema", "CREATE SCHEMA test_schema_2", "CREATE EXTENSION hstore")
    return pytest(name, package, "--dburi", url, files=files, sql=sql)


def mocha(package, **more):
    command = ["../.bin/mocha", "--exit", "--reporter", "xunit", "--reporter-option", "output={report}"]
    return Suite(package, package, package, command, **more)


SUITES = [
    sqlalchemy("sqlalchemy-psycopg2", "python3-sqlalchemy", "psycopg2", "sqlalchemy.testing"),
    sqlalchemy("sqlalchemy-asyncpg", "python3-sqlalchemy", "asyncpg", "sqlalchemy.testing"),
    sqlalchemy("alembic-psycopg2", "python3-alembic", "psycopg2", "alembic.testing"),
    pytest(
        "storm-psycopg2", "python3-storm", "-o", "python_files=*.py", "--pyargs",
        "storm.tests.databases.postgres", "storm.tests.store.postgres", "storm.tests.tracer",
        environment={"STORM_POSTGRES_URI": f"postgres://postgres@127.0.0.1:{{port}}/{DATABASE}"},
    ),
    # These two hold far more connections at once than the default limit allows a process.
    mocha("libpq", environment={"PQBUDGET_LIMIT": "180"}),
    mocha("pg-native", environment={"PQBUDGET_LIMIT": "180"}),
    mocha("pg-pool"),
    mocha("pg-cursor"),
]
