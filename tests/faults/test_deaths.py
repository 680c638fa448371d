"""Workers that die, at any moment and in any way: their trials go on elsewhere."""

from __future__ import annotations

import contextlib
import random
import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.tuner import until
from tests.faults.pool import Pool, check_rows, pool
from tests.servers import PostgresServer
from tuner_service.storage.artifacts import Artifacts, trial_folder
from tuner_service.training.assignment import CHECKPOINT_PREFIX, checkpoint_file

SEED = 11


def _curve(workers: Pool, configuration: int) -> dict[str, Any]:
    """Return every metric of every epoch of the attempt that a configuration was complete with."""
    ((number,),) = workers.query(
        "SELECT number FROM tuner_attempts JOIN trials USING (trial_id) "
        f"WHERE configuration = {configuration} AND state::text = 'COMPLETE'"
    )
    ((artifacts,),) = workers.query("SELECT artifacts FROM tuner_studies")
    curve: dict[str, Any]
    (curve,) = Artifacts(artifacts, "digits").read_json(f"{trial_folder(number)}/curve.json")
    return curve


def _saved(artifacts: str, number: int) -> str:
    """Return the name of a trial's last checkpoint; names sort as trainings go on."""
    names = Artifacts(artifacts, "digits").names(trial_folder(number))
    return max((name for name in names if name.startswith(CHECKPOINT_PREFIX)), default="")


def test_trial_goes_on_where_its_worker_died(tmp_path: Path, postgres_server: PostgresServer, s3_url: str) -> None:
    """Killed after epoch 6 of 10 or told to stop, a trial goes on elsewhere, to the curve of one never interrupted.

    Its checkpoints lie in S3. A plain worker has no checkpoints: it begins anew, with other initial weights; told to
    stop it ends without a word.
    """
    with (
        pool(tmp_path / "reference", postgres_server, "digits", "trials=2") as reference,
        pool(tmp_path / "attacked", postgres_server, "digits", "trials=2", artifacts=s3_url) as workers,
    ):
        killed, stopped = workers.start(2, environment={"EPOCH_S": "0.6"})
        until("both train", lambda: len(workers.running_rows()) == 2)
        killed_number, killed_configuration, _ = workers.trial_of(killed) or (-1, -1, -1)
        stopped_number, stopped_configuration, _ = workers.trial_of(stopped) or (-1, -1, -1)
        until("one is in epoch 4", lambda: workers.epoch(stopped_number) >= 3)
        told_at = time.monotonic()
        stopped.process.send_signal(signal.SIGTERM)
        assert stopped.process.wait(15) == 75, stopped.said()
        print(f"exited {time.monotonic() - told_at:.1f} s after SIGTERM")
        assert workers.attempts(stopped_configuration)[0] == (0, "FAIL", "interrupted", stopped.name)
        last = workers.epoch(stopped_number)
        until("the other one is saved after epoch 6", lambda: _saved(s3_url, killed_number) >= checkpoint_file(6))
        killed.kill()
        workers.workers.clear()
        workers.start(1, slots=2)
        workers.wait()
        check_rows(workers, 2)
        assert workers.attempts(killed_configuration)[0] == (0, "FAIL", "interrupted", killed.name)
        resumed = dict(workers.query("SELECT configuration, resumed_from FROM tuner_attempts WHERE attempt = 1"))
        assert resumed[killed_configuration] >= 6
        assert resumed[stopped_configuration] == last

        reference.start(1, slots=2)
        reference.wait()
        for configuration in (0, 1):
            assert _curve(workers, configuration) == _curve(reference, configuration)
            assert len(_curve(workers, configuration)["loss"]) == 10


def test_last_running_trial_is_not_forgotten(tmp_path: Path, postgres_server: PostgresServer) -> None:
    """The only worker that trains is killed while another one idles: that one runs the trial again, within a lease.

    With ``study.optimize`` the trial stays RUNNING for ever: nobody looks after it unless somebody begins another.
    """
    with pool(tmp_path, postgres_server, "fast", "trials=1") as workers:
        # Its epochs take longer than the other one needs to start, on any machine.
        (killed,) = workers.start(1, environment={"EPOCH_S": "60"})
        until("it trains", lambda: workers.trial_of(killed))
        workers.start(1)
        until("another one idles", lambda: workers.query("SELECT 1 FROM tuner_workers WHERE worker_id = 'w1'"))
        killed.kill()
        workers.workers.remove(killed)
        killed_at = time.monotonic()
        until("the trial runs again", lambda: len(workers.attempts(0)) == 2 and workers.running_rows())
        # A lease and a beat, where the machine has time for it.
        print(f"runs again {time.monotonic() - killed_at:.1f} s after the kill")
        workers.wait()
        check_rows(workers, 1)
        assert [one[1:] for one in workers.attempts(0)] == [
            ("FAIL", "interrupted", "w0"),
            ("COMPLETE", "finished", "w1"),
        ]


def test_second_signal_ends_a_worker_at_once(tmp_path: Path, postgres_server: PostgresServer) -> None:
    """A trial that does not end is left to its lease: another worker runs it again."""
    with pool(tmp_path, postgres_server, "fast", "trials=1") as workers:
        (stopped,) = workers.start(1, environment={"EPOCH_S": "60", "STUBBORN": "1"})
        until("it trains", lambda: workers.query("SELECT 1 FROM trial_params"))
        stopped.process.send_signal(signal.SIGTERM)
        time.sleep(1.2)  # signals that come within a second are one
        assert stopped.process.poll() is None
        told_at = time.monotonic()
        stopped.process.send_signal(signal.SIGTERM)
        assert stopped.process.wait(15) == 75, stopped.said()
        assert time.monotonic() - told_at < 3.0
        workers.workers.remove(stopped)
        assert [owner for *_, owner in workers.running_rows()] == [stopped.name]
        until("no process is left", lambda: not workers.tuner.processes(), timeout_s=10.0)
        workers.start(1)
        workers.wait()
        check_rows(workers, 1)
        assert [one[1:] for one in workers.attempts(0)] == [
            ("FAIL", "interrupted", "w0"),
            ("COMPLETE", "finished", "w1"),
        ]


def _sleeping(workers: Pool) -> list[str]:
    """Return the commands of the programs that the study ``programs`` has started and that still run."""
    commands = []
    for process in workers.tuner.processes():
        with contextlib.suppress(psutil.Error):
            commands.append(" ".join(psutil.Process(process).cmdline()))
    return sorted(one for one in commands if one.startswith("sleep"))


def test_programs_of_the_study_end_with_its_worker(tmp_path: Path, postgres_server: PostgresServer) -> None:
    """The kernel ends children that asked for it, and a program that the study's code has started has not."""
    with pool(tmp_path, postgres_server, "programs", "trials=4") as workers:
        (worker,) = workers.start(1)
        until("it has started its programs", lambda: len(_sleeping(workers)) == 2)
        assert _sleeping(workers) == ["sleep 1000", "sleep 1001"]
        worker.kill()
        until("no process is left", lambda: not workers.tuner.processes(), timeout_s=10.0)


@pytest.mark.soak
def test_workers_and_coordinators_are_killed_at_random_moments(tmp_path: Path, postgres_server: PostgresServer) -> None:
    """Trials of a tenth of a second, so that kills meet claims and results too; two coordinators reconcile at once.

    One of them is frozen for a while and one killed, again and again. Plain workers that count trials go beyond the
    budget here, and two programs that enqueue a grid enqueue it twice.
    """
    dice = random.Random(SEED)
    print(f"seed {SEED}")
    with pool(tmp_path, postgres_server, "fast", "trials=60", beat_s=0.3, lease_s=1.5) as workers:
        workers.start(2)
        until("trials are settled", workers.settled)
        for _ in range(3):
            with (
                workers.tuner.start("coordinator", "--period", "0.1") as one,
                workers.tuner.start("coordinator", "--period", "0.1") as other,
            ):
                until("they coordinate", lambda: one.so_far.out and other.so_far.out)
                one.send(signal.SIGSTOP)
                workers.replace_one(dice)
                time.sleep(dice.uniform(0.5, 1.5))
                one.send(signal.SIGCONT)
                other.send(signal.SIGKILL)
                time.sleep(dice.uniform(0.0, 0.5))
        workers.wait()
        check_rows(workers, 60)
        assert set(workers.counts()) <= {"finished", "interrupted", "withdrawn"}
