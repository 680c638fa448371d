"""A study that is paused, resumed, watched and stopped while a worker works on it."""

from __future__ import annotations

import signal
import time

from tests.e2e.tuner import Tuner, until


def test_study_is_steered_while_it_runs(tuner: Tuner) -> None:
    """Paused it claims nothing more, resumed it goes on, stopped it ends; `watch` follows it in plain lines."""
    tuner.add_study("slow")
    tuner("create", "studies/slow.py", "--set", "trials=1000", "--set", "max_epochs=2")

    def state() -> str:
        return str(tuner("status", "slow", "--json").json("study")["state"])

    def started() -> int:
        return sum(owner is not None for *_, owner in tuner.attempts())

    def ended() -> int:
        return sum(reason is not None for _, _, _, reason, owner in tuner.attempts() if owner is not None)

    assert state() == "waiting for workers"
    with (
        tuner.start("coordinator", "--period", "0.5") as coordinator,
        tuner.start("worker", "slow", "--slots", "1", "--beat", "1") as worker,
        tuner.start("watch", "slow") as watch,
    ):
        until("a trial has ended", ended)
        assert "paused" in tuner("pause", "slow").out
        until("the running trial has ended", lambda: started() == ended())
        before = started()
        assert state() == "paused"
        time.sleep(1.0)
        assert started() == before
        assert worker.so_far.code == -1

        assert "goes on" in tuner("resume", "slow").out
        until("trials are claimed again", lambda: started() > before)

        tuner("stop", "slow")
        result = worker.wait()
        assert result.code == 0, result.err
        assert started() == ended()
        assert {reason for _, _, _, reason, owner in tuner.attempts() if owner} == {"finished"}
        watched = watch.wait()
        assert watched.code == 0, watched.err
        lines = watched.out.splitlines()
        assert lines[0].startswith("slow: ")
        assert lines[-1].startswith("slow: stopped, ")
        assert "\x1b" not in watched.out

        coordinator.send(signal.SIGTERM)
        assert coordinator.wait().code == 0
    assert state() == "stopped"
    trials = tuner("status", "slow", "--json").json("study")
    assert trials["waiting"] == trials["running"] == 0


def test_doctor_tells_good_from_bad(tuner: Tuner) -> None:
    """`doctor` looks at packages, machine and storage, makes nothing, and exits with 1 where something is wrong."""
    findings = {one["what"]: one for one in tuner("doctor", "--json").json("findings")}
    assert {"python", "keras", "tensorflow", "optuna", "cores", "GPUs", "storage"} <= set(findings)
    assert findings["keras"]["good"] is True
    assert findings["storage"]["good"] is None
    assert not (tuner.folder / "tuner.db").exists()
    away = Tuner(tuner.folder, "postgresql://me:hush@127.0.0.1:1/tuner", tuner.marker)
    findings = {one["what"]: one for one in away("doctor", "--json", code=1).json("findings")}
    assert findings["storage"]["good"] is False
    assert "hush" not in str(findings)
