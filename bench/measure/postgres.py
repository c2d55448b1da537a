"""A PostgreSQL server of the run, databases on it, and what a bare transaction costs there."""

import copy
import glob
import json
import os
import re
import secrets
import shutil
import signal
import statistics
import subprocess
import time
from pathlib import Path

from .api_site import free_port
from .contender import LONGEST, Run
from .control import Control
from .scratch import run

# PostgreSQL refuses root. It owns nothing.
USER = "nobody"
# A busy machine recovers nothing here, but may start programs slowly.
PATIENCE = 60


def programs():
    """The folder of the programs of the latest PostgreSQL that is installed."""
    found = glob.glob("/usr/lib/postgresql/*/bin")
    if not found:
        raise SystemExit("bench: PostgreSQL is not installed. Run: scripts/bootstrap.sh bench")
    return Path(max(found, key=lambda folder: int(folder.split("/")[-2])))


class Server:
    """Starts a server with PostgreSQL's own durability, on the file system of the other stores."""

    def __init__(self, scratch):
        self.scratch, self.port, self.control = scratch, free_port(), Control(scratch, "postgres")
        self.control.file.chmod(0o666)
        self.folder = scratch.folder / "postgres"
        # What runs beside it, and ends with it.
        self.programs = []
        self.folder.mkdir()
        shutil.chown(self.folder, USER)
        self.data = self.folder / "data"
        self.program("initdb", "--username=postgres", "--auth=scram-sha-256", "--auth-local=trust", "--encoding=UTF8",
                     "--locale=C", "--no-instructions", "--pgdata", self.data)
        with (self.data / "postgresql.conf").open("a") as settings:
            settings.write(
                f"port = {self.port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{self.folder}'\n"
                "max_connections = 250\nshared_buffers = '512MB'\ndynamic_shared_memory_type = mmap\nlogging_collector = off\n"
            )
        with (scratch.folder / "postgres.log").open("w") as log:
            words = self._as_user("postgres", "-D", self.data)
            self.process = subprocess.Popen(words, env=self.control.environment, stdout=log, stderr=log, cwd="/")
        end = time.monotonic() + PATIENCE
        while subprocess.run(self._as_user("pg_isready", "-q", "-h", self.folder, "-p", self.port), cwd="/", check=False).returncode:
            if self.process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"bench: PostgreSQL does not start:\n{(scratch.folder / 'postgres.log').read_text()}")
            time.sleep(0.1)

    def _as_user(self, program, *words):
        clear = ["setpriv", f"--reuid={USER}", "--regid=nogroup", "--clear-groups", "--"]
        return [*clear, *(str(word) for word in (programs() / program, *words))]

    def program(self, program, *words, **options):
        """Runs a program of PostgreSQL as the server's user."""
        return run(*self._as_user(program, *words), cwd="/", **options)

    def sql(self, statement, database="postgres"):
        words = ["--no-psqlrc", "-qAt", "-v", "ON_ERROR_STOP=1", "-h", self.folder, "-p", self.port, "-U", "postgres", "-d", database]
        return self.program("psql", *words, input=statement).strip()

    def settle(self):
        """Ends what a large change has left to do, so that it does not run beside a measurement."""
        self.sql("CHECKPOINT")

    def stop(self):
        for program in self.programs:
            program.kill()
            program.wait()
        self.process.send_signal(signal.SIGINT)
        self.process.wait(PATIENCE)


class Database:
    """A database with an owner, for the sites of one store."""

    def __init__(self, server, name):
        self.server, self.name, self.control = server, name, server.control
        password = secrets.token_hex(16)
        server.sql(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'; GRANT pg_monitor TO {name}")
        server.sql(f"CREATE DATABASE {name} OWNER {name} TEMPLATE template0 ENCODING UTF8")
        self.password_file = server.scratch.folder / f"password-{name}"
        self.password_file.write_text(password + "\n")
        self.password_file.chmod(0o600)
        self.port = server.port

    @property
    def config(self):
        url = f"postgresql://{self.name}@127.0.0.1:{self.port}/{self.name}?sslmode=disable"
        return f'store.url = "{url}"\nstore.password_file = "{self.password_file}"\n'

    def at_distance(self, microseconds):
        """The same database, whose server is so far away: what is sent either way takes that long (distance.c)."""
        distant = copy.copy(self)
        distant.port = free_port()
        words = [self.server.scratch.folder / "distance", distant.port, self.port, microseconds]
        self.server.programs.append(subprocess.Popen([str(word) for word in words]))
        return distant

    def sql(self, statement):
        return self.server.sql(statement, self.name)


class BareTransactions:
    """`SELECT … FOR UPDATE; UPDATE; COMMIT` of a row as long as a record, by pgbench(1): what such a login costs the database.

    Each client has rows of its own, as each login has a user of its own."""

    ROWS = 100

    def __init__(self, database, record_bytes, clients):
        self.name, self.database, self.server = "a bare transaction", database, database.server
        rows = clients * self.ROWS
        database.sql(f"CREATE TABLE bare AS SELECT id, repeat('x', {record_bytes}) AS record FROM generate_series(0, {rows - 1}) AS id;"
                     f"ALTER TABLE bare ADD PRIMARY KEY (id); ALTER TABLE bare OWNER TO {database.name}")
        self.script = self.server.folder / "bare.sql"
        self.script.write_text(
            f"\\set id :client_id * {self.ROWS} + random(0, {self.ROWS - 1})\n"
            "BEGIN;\nSELECT record FROM bare WHERE id = :id FOR UPDATE;\n"
            f"UPDATE bare SET record = repeat('y', {record_bytes}) WHERE id = :id;\nCOMMIT;\n"
        )

    def at(self, database):
        """The same transactions, of clients that reach the database another way."""
        there = copy.copy(self)
        there.database = database
        return there

    def measure(self, shape):
        before = self.server.control.syncs()
        prefix = self.server.folder / "transactions"
        each = shape.logins * shape.rounds
        password = self.database.password_file.read_text().strip()
        output = self.server.program(
            "pgbench", "--no-vacuum", "--protocol=prepared", "-f", self.script, "-c", shape.clients, "-j", min(shape.clients, os.cpu_count()),
            "-t", each, "--log", f"--log-prefix={prefix}", "-h", "127.0.0.1", "-p", self.database.port, "-U", self.database.name, self.database.name,
            env={**os.environ, "PGPASSWORD": password}, stderr=subprocess.DEVNULL, timeout=LONGEST,
        )
        # Without the time that the connections took.
        rate = float(re.search(r"^tps = ([\d.]+)", output, flags=re.M)[1])
        times = []
        for log in self.server.folder.glob("transactions.*"):
            times += [int(line.split()[2]) for line in log.read_text().splitlines()]
            log.unlink()
        if len(times) != shape.clients * each:
            raise SystemExit(f"bench: {len(times)} of {shape.clients * each} transactions were made")
        cuts = statistics.quantiles(times, n=100, method="inclusive")
        syncs = (self.server.control.syncs() - before) / len(times)
        return Run(cuts[9], cuts[49], cuts[89], cuts[98], rate, syncs)


def record_bytes(database):
    """The mean length of a record of a store."""
    return int(float(json.loads(database.sql("SELECT avg(length(record)) FROM account"))))
